locals {
  # Root, with the variables of the step and nothing of the login's.
  as_root = "chmod +x {{ .Path }}; {{ .Vars }} sudo -E {{ .Path }}"
}
