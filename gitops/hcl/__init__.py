"""Terraform's language, read without running anything of it."""
