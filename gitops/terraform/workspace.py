"""Runs terraform and tofu through python_terraform, one call a command."""
