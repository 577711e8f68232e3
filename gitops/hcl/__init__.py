"""Terraform's language, read without running anything of it.

``policy`` says what unapproved code may not do; ``local_modules`` which folders a root is made of;
``test_files`` which of its tests apply nothing. Both syntaxes, everything with its place;
python-hcl2 is imported here alone, at the first parse.
"""

from gitops.hcl.modules import local_modules
from gitops.hcl.policy import policy
from gitops.hcl.trials import test_files

__all__ = ["local_modules", "policy", "test_files"]
