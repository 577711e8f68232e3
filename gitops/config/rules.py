"""What no single entry can get wrong: rules across the fleet.

Each takes the fleet as built and adds problems to the draft. Called by :mod:`gitops.config.load`
after everything has its shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gitops.config.backends import identity as state_of
from gitops.config.needs import check_needs
from gitops.config.problems import Draft, Loc
from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.gate import entitled
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, Fleet, People, SourceSpec
from gitops.model.ids import PersonName
from gitops.model.secret import SecretRef
from gitops.secrets import read_secret, refuse_exposed


def apply_rules(draft: Draft, fleet: Fleet) -> None:
    same_cluster_twice(draft, fleet)
    same_delivery_twice(draft, fleet)
    same_state_twice(draft, fleet)
    check_needs(draft, fleet)
    one_identity_one_person(draft, fleet.people)
    empty_groups(draft, fleet.people)
    nobody_could_approve(draft, fleet)
    auto_matches_no_cluster(draft, fleet)
    transport_fits_credentials(draft, fleet)
    commits_can_be_marked(draft, fleet)
    if draft.resolve_secrets:
        secrets_are_there(draft, fleet)


def same_cluster_twice(draft: Draft, fleet: Fleet) -> None:
    """Two names for one cluster would deliver twice and fight. The identity
    itself is only known once connected; here what is visibly the same is refused."""
    seen: dict[object, str] = {}
    for name, cluster in fleet.clusters.items():
        way: object = ("context", str(cluster.kubeconfig), cluster.context)
        if cluster.in_cluster or cluster.sandbox:
            way = ("sandbox", cluster.sandbox)
        elif not cluster.context:
            continue
        first = seen.setdefault(way, name)
        if first != name:
            draft.refuse_at(
                draft.named(("clusters", name)),
                f'clusters "{first}" and "{name}" are the same cluster',
                f"the other is at {draft.named(('clusters', first))}; keep one, with both's labels",
            )


def same_delivery_twice(draft: Draft, fleet: Fleet) -> None:
    """The same folder twice into one place. One chart with other options, or into another
    namespace, is a different delivery and allowed."""
    seen: dict[object, str] = {}
    for name, application in fleet.applications.items():
        for cluster in application.clusters:
            options = repr(sorted(application.options.items(), key=lambda item: item[0]))
            place = (application.source, application.path, application.namespace, options)
            first = seen.setdefault((cluster, *place), name)
            if first != name:
                where = (
                    f'"{one_line(application.path, 80) or "."}" of source "{application.source}"'
                )
                draft.refuse_at(
                    draft.named(("applications", name)),
                    f'applications "{first}" and "{name}" both deliver {where} to "{cluster}"',
                    f"the other is at {draft.named(('applications', first))}; keep one",
                )
                break


def same_state_twice(draft: Draft, fleet: Fleet) -> None:
    """One state, one owner: two roots would each destroy what the other made."""
    seen: dict[str, str] = {}
    for name, application in fleet.applications.items():
        root = application.terraform
        if root is None or root.backend is None:
            continue
        state = state_of(root.backend, root.workspace, root.environment.plan)
        first = seen.setdefault(state, name)
        if first != name:
            loc: Loc = ("applications", name, "terraform", "backend")
            other = draft.named(("applications", first, "terraform", "backend"))
            draft.refuse_at(
                draft.named(loc),
                f'applications "{first}" and "{name}" have the same state',
                f"the other's backend is at {other}; give each a state of its own",
            )


def one_identity_one_person(draft: Draft, people: People) -> None:
    """An e-mail or login of two people would let one of them approve as the other."""
    bots = {bot.casefold() for bot in people.bots}
    seen: dict[str, str] = {}
    for name, person in people.persons.items():
        known = (*person.emails, *person.logins, *person.slack, *person.subjects)
        for identity in dict.fromkeys(identity.casefold() for identity in known):
            first = seen.setdefault(identity, name)
            shown = one_line(identity, 80)
            if first != name:
                hint = f"the other is at {draft.named(('people', first))}; one of the two is wrong"
                message = f'"{shown}" belongs to "{first}" and to "{name}"'
                draft.refuse_at(draft.named(("people", name)), message, hint)
            if identity in bots:
                message = f'"{shown}" is a person ("{name}") and a bot'
                draft.refuse_at(draft.named(("people", name)), message, "remove it from one")


def empty_groups(draft: Draft, people: People) -> None:
    for name, members in people.groups.items():
        if not members:
            place = draft.named(("groups", name))
            draft.refuse_at(place, f'group "{name}" has no members', "name people: [ada, bob]")


def _applications(fleet: Fleet) -> Iterator[tuple[Loc, str, ApplicationSpec]]:
    for name, application in fleet.applications.items():
        yield ("applications", name), f'application "{name}"', application
    for index, discovery in enumerate(fleet.discoveries):
        yield ("discover", index), f"discovery {index + 1}", discovery.template


def nobody_could_approve(draft: Draft, fleet: Fleet) -> None:
    """A question that nobody may ever answer is refused before it is asked."""
    if ("people",) in draft.damaged or ("groups",) in draft.damaged:
        return
    said: set[tuple[str, int]] = set()
    for loc, what, application in _applications(fleet):
        policy = application.approval
        if policy.auto is not None and policy.auto.always:
            continue
        source = fleet.sources.get(application.source)
        authors = _authors(policy, source)
        able, needed = len(entitled(policy, fleet.people) - authors), _needed(policy, source)
        if able >= needed or _has_gaps(policy, fleet.people) or (policy.name, needed) in said:
            continue
        said.add((policy.name, needed))
        place = draft.named((*loc, "approval"))
        count = "nobody" if not able else f"only {able} {'person' if able == 1 else 'people'}"
        message = f"{what} needs {needed} to approve, and {count} may"
        draft.refuse_at(place, message, _who_to_add(policy, source, authors))


def _authors(policy: ApprovalPolicy, source: SourceSpec | None) -> frozenset[PersonName]:
    named = source is not None and not policy.author_may_approve
    return frozenset(source.authors) if source is not None and named else frozenset()


_AUTHORLESS = {"directory": "a directory", "web": "a web host", "oci": "a registry"}
"""Kinds of sources that record no author, as people call them."""


def _needed(policy: ApprovalPolicy, source: SourceSpec | None) -> int:
    """A source that cannot tell its authors needs two distinct approvers."""
    unknown = source is not None and source.kind in _AUTHORLESS and not source.authors
    return max(policy.quorum, 2) if unknown else policy.quorum


def _has_gaps(policy: ApprovalPolicy, people: People) -> bool:
    """It names somebody unknown or an empty group: refused there, and not again as the effect."""
    unknown = any(name not in people.persons for name in policy.people)
    return unknown or not all(people.members(group) for group in policy.groups)


def _who_to_add(
    policy: ApprovalPolicy, source: SourceSpec | None, authors: frozenset[PersonName]
) -> str:
    if authors:
        return (
            f"the source's authors ({', '.join(sorted(authors))}) do not count: add somebody else"
        )
    if source is not None and _needed(policy, source) > policy.quorum:
        return (
            f"{_AUTHORLESS[source.kind]} does not say who the author is, so two people have to "
            "approve: add people, or name the source's authors: [NAME]"
        )
    lower = ", or lower its quorum" if policy.quorum > 1 else ""
    if policy.groups or policy.people:
        return f'add people to approval policy "{policy.name}"{lower}'
    return f"add people: people: {{ada: {{emails: [ada@example.com]}}}}{lower}"


def auto_matches_no_cluster(draft: Draft, fleet: Fleet) -> None:
    """Labels nobody has are a typing error that would quietly never approve."""
    for loc, what, application in _applications(fleet):
        auto = application.approval.auto
        if auto is None or not auto.clusters or not fleet.clusters or application.terraform:
            continue
        wanted = auto.clusters.items()
        if not any(wanted <= cluster.labels.items() for cluster in fleet.clusters.values()):
            labels = ", ".join(f"{key}: {value}" for key, value in wanted)
            draft.refuse_at(
                draft.named((*loc, "approval")),
                f"auto-approval of {what} is for clusters with {labels}, and there are none",
                "label a cluster so, or remove the condition",
            )


def transport_fits_credentials(draft: Draft, fleet: Fleet) -> None:
    """A key for https or a token for ssh is never used: better said than silently anonymous."""
    for name, source in fleet.sources.items():
        https = source.url.startswith(("https://", "http://"))
        credentials, loc = source.credentials, ("sources", name, "credentials")
        if source.kind != "git":
            continue
        if https and credentials.ssh_key:
            draft.refuse((*loc, "ssh_key"), "an ssh key is not used over https", "use ssh://")
        if not https and credentials.token:
            draft.refuse((*loc, "token"), "a token is only used over https", "use https://")
        if not https and credentials.github_app:
            message = "a GitHub App signs in over https only"
            draft.refuse((*loc, "github_app"), message, "use https://")
        if credentials.token and credentials.github_app:
            message = "a token and a GitHub App are two ways to sign in"
            draft.refuse((*loc, "github_app"), message, "keep one of them")


def commits_can_be_marked(draft: Draft, fleet: Fleet) -> None:
    """A commit's status is told to the forge of its source: one that has none is never marked."""
    for notifier in fleet.notifiers:
        if notifier.kind != "commit-status" or ("sources",) in draft.damaged:
            continue
        loc: Loc = ("notifiers", notifier.name, notifier.kind, "sources")
        named = notifier.options.get("sources") or ()
        for index, name in enumerate(named):
            draft.expect((*loc, index), name, draft.names("sources"), "source")
        wanted = [s for s in fleet.sources.values() if not named or s.name in named]
        if wanted and not any(source.forge for source in wanted):
            message = "no source has a forge whose commits could be marked"
            hint = "write forge: github (or gitlab, gitea …) at the source"
            draft.refuse_at(draft.named(("notifiers", notifier.name)), message, hint)


def secrets_are_there(draft: Draft, fleet: Fleet) -> None:
    """Every secret can be read now; a start that fails later fails in the night."""
    for loc, ref in _references(fleet):
        try:
            read_secret(ref, draft.env)
        except ConfigError as error:
            draft.refuse(loc, error.message, error.hint)
    for at, _, application in _applications(fleet):
        _root_secrets_are_there(draft, application, (*at, "terraform", "environment"))


def _root_secrets_are_there(draft: Draft, application: ApplicationSpec, loc: Loc) -> None:
    """What applies is looked for but not read: that happens after an approval, never before."""
    if application.terraform is None:
        return
    environment = application.terraform.environment
    for phase, look in (("plan", read_secret), ("apply", find_secret)):
        for name, ref in getattr(environment, phase).items():
            try:
                if isinstance(ref, SecretRef):
                    look(ref, draft.env)
            except ConfigError as error:
                draft.refuse((*loc, phase, name), error.message, error.hint)


def find_secret(ref: SecretRef, env: Mapping[str, str]) -> None:
    """Raises ConfigError, as reading it would, if the secret is not where it should be. Never
    opens it."""
    if ref.env is not None and ref.env not in env:
        hint = f"set {ref.env} where the controller starts, or refer to a file: {{file: PATH}}"
        raise ConfigError(f"environment variable {ref.env} is not set", hint=hint)
    if ref.file is None:
        return
    try:
        refuse_exposed(ref.file, ref.file.stat())
    except (OSError, ValueError) as error:
        hint = "check the path, and that the controller's user may read it"
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"{ref} cannot be read: {reason}", hint=hint) from None


def _references(fleet: Fleet) -> Iterator[tuple[Loc, SecretRef]]:
    listed: list[tuple[Loc, SecretRef | None]] = [
        (("store", "password"), fleet.store.password),
        (("vault", "key"), fleet.vault.key),
    ]
    for name, source in fleet.sources.items():
        at: Loc = ("sources", name, "credentials")
        listed += [((*at, "token"), source.credentials.token)]
        listed += [((*at, "ssh_key"), source.credentials.ssh_key)]
        if app := source.credentials.github_app:
            listed += [((*at, "github_app", "private_key"), app.private_key)]
        if source.forge is not None:
            at = ("sources", name, "forge", source.forge.kind)
            listed += [
                ((*at, key), value)
                for key, value in source.forge.options.items()
                if isinstance(value, SecretRef)
            ]
    for notifier in fleet.notifiers:
        for key, value in notifier.options.items():
            if isinstance(value, SecretRef):
                listed.append((("notifiers", notifier.name, notifier.kind, key), value))
    for webhook in fleet.webhooks:
        for key, value in webhook.options.items():
            if isinstance(value, SecretRef):
                # Where the name is the kind there is nothing between the two; the place is found
                # as far down as the path goes.
                listed.append((("webhooks", webhook.name, webhook.kind, key), value))
    yield from ((loc, ref) for loc, ref in listed if ref is not None)
