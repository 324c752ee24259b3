"""The classifier's door for HTTP: the rules in force, and the queue of columns that a person should look at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlencode

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from services.classifier.domain.reviews import DECISIONS
from services.classifier.domain.rulesets import Ruleset
from services.classifier.domain.tables import Judge
from services.classifier.store import Store
from shared.access.proof import Proofs
from shared.bus.received import Cause
from shared.contracts.asset import ClassificationReviewed
from shared.contracts.names import AssetName
from shared.errors import UsageError, did_you_mean
from shared.web.auth import actor_of
from shared.web.body import body_of, is_form
from shared.web.guard import check, narrowed
from shared.web.problems import problem

MAX_BODY_KIB = 64
MOST = 1000
NO_CLASS = (422, "There is no such class")
MOST_SHOWN = 128  # characters of a name in an address, where each may take a dozen
_FIELDS = ("asset", "column", "decision", "class_name", "reason")


def routes(store: Store, judge: Callable[[], Judge], proofs: Proofs, off: str = "") -> list[Route]:
    """Everything under /rulesets and /reviews. `judge`: the one in force now; `off`: why there is no tier 3, where there is none."""
    rulesets, reviews = Rulesets(store, judge, off), Reviews(store, judge, proofs)
    return [
        Route("/rulesets", rulesets.list, methods=["GET"]),
        Route("/rulesets/{name}", rulesets.show, methods=["GET"]),
        Route("/reviews", reviews.list, methods=["GET"]),
        Route("/reviews", reviews.submit, methods=["POST"]),
    ]


class Rulesets:
    """The rules in force."""

    def __init__(self, store: Store, judge: Callable[[], Judge], off: str) -> None:
        self._store, self._judge, self._off = store, judge, off

    async def list(self, request: Request) -> Response:
        return JSONResponse({"rulesets": await self._store.published()})

    async def show(self, request: Request) -> Response:
        """Its classes with category, sensitivity, the regulations that care, and what others call them; the model; is tier 3 on?"""
        judge = self._judge()
        if request.path_params["name"] != judge.ruleset.name:
            return problem(404, "no_such_ruleset", "There is no rule set of this name", "See GET /rulesets.")
        told = {"model": judge.model.version if judge.model else "", "tier3": self._off or "on"}
        return JSONResponse({**described(judge.ruleset), **told})


def described(ruleset: Ruleset) -> dict[str, Any]:
    """A rule set as the outside sees it."""
    classes = [
        {
            "name": c.name,
            "category": c.category,
            "sensitivity": c.sensitivity,
            "regulations": list(c.regulations),
            "elsewhere": ruleset.names_of(c.name),
        }
        for c in ruleset.taxonomy.values()
    ]
    return {**ruleset.published().model_dump(mode="json", exclude={"classes"}), "classes": classes}


class Reviews:
    """What the rules were not sure of, and a person's word on it."""

    def __init__(self, store: Store, judge: Callable[[], Judge], proofs: Proofs) -> None:
        self._store, self._judge, self._proofs = store, judge, proofs

    async def list(self, request: Request) -> Response:
        """Assets with uncertain columns. Filters: source, limit, offset."""
        given = request.query_params
        found, total = await self._store.uncertain(
            narrowed(request, "review.read"), min(number(given, "limit", 100), MOST), number(given, "offset", 0)
        )
        return JSONResponse({"reviews": found, "total": total})

    async def submit(self, request: Request) -> Response:
        """Ask for a review: it travels as classification.reviewed and takes effect when this service hears it."""
        wanted = await _review_of(request)
        tenant = AssetName.parse(wanted.asset).tenant
        check(request, "classification.review", tenant, wanted.asset)
        cause = Cause.new(tenant=tenant)
        async with self._store.unit(keys=[wanted.asset]) as unit:
            refusal = await self._refusal(unit, wanted)
            if refusal:
                column, why = f"{wanted.asset}#{wanted.column}", f"{wanted.decision}: {refusal[1]}"
                unit.bus.audit(tenant, wanted.reviewer, "classification.review", column, cause, "failed", why)
            else:
                unit.bus.ask(wanted, key=wanted.asset, cause=cause, seal=partial(self._proofs.seal, request.scope["actor"]))
        if is_form(request):  # back to the page that it came from, which tells what became of it
            told = {"refused": wanted.column[:MOST_SHOWN], "class_name": wanted.class_name} if refusal else {"reviewed": wanted.column}
            return RedirectResponse(f"/assets/{quote(wanted.asset, safe='/')}?{urlencode(told, quote_via=quote)}#columns", 303)
        if refusal:
            near = did_you_mean(wanted.class_name, self._judge().ruleset.taxonomy) if refusal == NO_CLASS else ""
            remedy = near or "`pursight review list` shows columns, `pursight review classes` the classes."
            return problem(refusal[0], "review_refused", refusal[1], remedy)
        return JSONResponse({"accepted": f"{wanted.asset}#{wanted.column}", "trace_id": cause.trace_id}, status_code=202)

    async def _refusal(self, unit: Any, wanted: ClassificationReviewed) -> tuple[int, str] | None:
        if not self._judge().ruleset.knows(wanted.class_name):
            return NO_CLASS
        stored = await unit.bodies([wanted.asset])
        if not any(column.name == wanted.column for item in stored for column in item.table.columns):
            return 404, "There is no such column"
        return None


async def _review_of(request: Request) -> ClassificationReviewed:
    """The review in the body, said by whoever signed in. Raises UsageError, by field, where it is none.

    A form's column is percent-encoded as in keys: browsers send other line ends than the page had.
    """
    document = await body_of(request, most_kib=MAX_BODY_KIB, form=True)
    if is_form(request) and "column" in document:
        document["column"] = unquote(document["column"])
    if unknown := sorted(set(document) - set(_FIELDS)):
        raise UsageError("unknown field", why=", ".join(unknown)[:200], remedy=f"Known are: {', '.join(_FIELDS)}.", code="unknown_field")
    try:
        wanted = ClassificationReviewed.model_validate({**document, "reviewer": actor_of(request)})
        AssetName.parse(wanted.asset)
    except ValidationError as error:
        fields = sorted({".".join(map(str, fault["loc"])) for fault in error.errors()})
        raise UsageError("this is no review", why=f"look at {', '.join(fields)}", code="invalid_review") from error
    except ValueError as error:
        raise UsageError("this is no review", why=str(error), code="invalid_review") from error
    if wanted.decision not in DECISIONS:
        raise UsageError("this is no review", why=f"a decision is one of {', '.join(DECISIONS)}", code="invalid_review")
    return wanted


def number(given: Any, name: str, default: int) -> int:
    """A whole number from the query. Raises UsageError."""
    text = given.get(name, str(default))
    if not text.isdigit() or len(text) > 9:
        raise UsageError(f"{name} is not a number", code="not_a_number")
    return int(text)
