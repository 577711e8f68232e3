"""Terraform and OpenTofu: the only package that runs them."""
