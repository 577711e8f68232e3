"""Ranges of addresses: which are claimed where, and which of them overlap. Pure.

Two networks that overlap can never be joined, and nobody notices until they have to be. Claims are
read from Terraform's language and the operator's variables (:func:`claims_in_root`), from planned
values (:func:`claims_in_plan`) and from manifests (:func:`claims_in_manifest`); :class:`Index`
finds those that meet. Used by the check of that name and by whoever reads plans. A range counts
only where a name says that it is handed out, never where it says who may connect.
"""

from __future__ import annotations

from gitops.cidr.claims import MAX_CLAIMS, Claim, Found, widest
from gitops.cidr.index import Index
from gitops.cidr.manifests import claims_in_manifest, may_claim
from gitops.cidr.planned import claims_in_plan
from gitops.cidr.ranges import Range, parse
from gitops.cidr.roots import claims_in_root

__all__ = [
    "MAX_CLAIMS",
    "Claim",
    "Found",
    "Index",
    "Range",
    "claims_in_manifest",
    "claims_in_plan",
    "claims_in_root",
    "may_claim",
    "parse",
    "widest",
]
