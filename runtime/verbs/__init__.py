"""The verbs of tasks.py, composed of the rooms; the only package that knows all of them.

Each function is one verb: settings and the operator's words in, results on stdout, talk on stderr.
"""
