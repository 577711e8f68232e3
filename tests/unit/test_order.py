"""Nothing is written before what it lives in, nothing deleted before what lives in it."""

from __future__ import annotations

import random

from gitops.model.manifest import ObjectId
from gitops.order import prune_stages, stages

NAMESPACE = ObjectId("", "Namespace", "", "shop")
CRD = ObjectId("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.example.com")
ACCOUNT = ObjectId("", "ServiceAccount", "shop", "web")
CONFIG = ObjectId("", "ConfigMap", "shop", "web")
DEPLOYMENT = ObjectId("apps", "Deployment", "shop", "web")
WIDGET = ObjectId("example.com", "Widget", "shop", "one")
HOOK = ObjectId("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", "w")


def itself(id: ObjectId) -> ObjectId:
    return id


ALL = [NAMESPACE, CRD, ACCOUNT, CONFIG, DEPLOYMENT, WIDGET, HOOK]


def test_namespaces_and_definitions_come_first_and_webhooks_last() -> None:
    shuffled = random.Random(7).sample(ALL, len(ALL))
    assert stages(shuffled, itself) == (
        (NAMESPACE, CRD),
        (ACCOUNT, CONFIG, DEPLOYMENT, WIDGET),
        (HOOK,),
    )


def test_deleting_goes_the_other_way() -> None:
    assert prune_stages(ALL, itself) == (
        (HOOK,),
        (WIDGET, DEPLOYMENT, CONFIG, ACCOUNT),
        (CRD, NAMESPACE),
    )


def test_empty_stages_are_left_out() -> None:
    assert stages([CONFIG], itself) == ((CONFIG,),)
    assert stages([], itself) == ()


def test_a_custom_kind_of_the_same_name_is_no_namespace() -> None:
    theirs = ObjectId("example.com", "Namespace", "", "x")
    assert stages([theirs, NAMESPACE], itself) == ((NAMESPACE,), (theirs,))
