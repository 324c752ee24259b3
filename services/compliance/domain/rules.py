"""The rule files as one value: words, places, packs, checked together."""

from __future__ import annotations

from collections.abc import Mapping

from services.compliance.domain.cases import failed_cases
from services.compliance.domain.document import Document, InvalidPack, read
from services.compliance.domain.facts import schema
from services.compliance.domain.policy import Rules, digest_of, policy_from
from services.compliance.domain.residency import residency_from
from services.compliance.domain.vocabulary import vocabulary_from

VOCABULARY, RESIDENCY = "vocabulary.yaml", "residency.yaml"


def rules_from(texts: Mapping[str, str]) -> Rules:
    """Rules from the texts of their files, by file name. Raises InvalidPack with every fault of the first part that has any."""
    documents = {name: read(text, name) for name, text in sorted(texts.items())}
    vocabulary, residency = vocabulary_from(documents.pop(VOCABULARY)), residency_from(documents.pop(RESIDENCY))
    facts = schema(vocabulary)
    shared = digest_of(texts[VOCABULARY], texts[RESIDENCY])
    policies = tuple(policy_from(document, facts, digest_of(texts[name], shared)) for name, document in documents.items())
    return Rules(vocabulary, residency, policies, facts, digest_of(*(policy.digest for policy in policies)))


def tried(rules: Rules, text: str, file: str) -> Rules:
    """`rules` with one more pack, or one replaced by name, after its inline tests held. Raises InvalidPack."""
    document: Document = read(text, file)
    policy = policy_from(document, rules.schema, digest_of(text))
    others = tuple(other for other in rules.policies if other.text.name != policy.text.name)
    together = Rules(rules.vocabulary, rules.residency, (*others, policy), rules.schema, digest_of(rules.digest, policy.digest))
    if faults := failed_cases(together, policy, document):
        raise InvalidPack(faults)
    return together
