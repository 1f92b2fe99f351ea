"""Bullion: golden AMIs for the GPU-telemetry pipeline, baked once and booted thin.

The rooms, from the ground up (imports point down only; see pyproject.toml, importlinter):

    tasks.py ─► bake  release  deploy  verify  lab      siblings never import each other
                  └──────┴───── cloud ────┘
                             contract   ◄── machine     machine and contract: standard library only
                    settings  wait  console  proc
                             errors                     imports nothing
"""
