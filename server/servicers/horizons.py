"""Which probability is asked for, and what an answer says of it; for Score and Recommend."""

from typing import Any

from penchant.v1 import interest_pb2 as pb

from graph.storage.errors import BadInputError
from server import limits
from server.engine import Engine
from training.calibration import Calibrator

_NEXT = (pb.PROBABILITY_HORIZON_UNSPECIFIED, pb.PROBABILITY_HORIZON_NEXT_EVENT)

Request = pb.ScoreRequest | pb.RecommendRequest


def read_horizon(engine: Engine, request: Request) -> Calibrator | None:
    """None: p as the mixture has it.

    Raises BadInputError for a horizon or kind that there is not, ConflictError for one that the model cannot tell.
    """
    within_days = request.horizon == pb.PROBABILITY_HORIZON_WITHIN_DAYS
    if not within_days and request.horizon not in _NEXT:
        message = f"horizon {request.horizon} is not known here."
        raise BadInputError(message, field="horizon", reason="UNKNOWN_HORIZON")
    if request.kind:
        limits.check_id(request.kind, "kind")
        if not within_days:
            raise BadInputError(
                "Only events within days are told by kind.",
                hint="Leave kind empty, or ask for PROBABILITY_HORIZON_WITHIN_DAYS.",
                field="kind",
                reason="KIND_WITHOUT_DAYS",
            )
        known = [kind.name for kind in engine.revision.artifact.manifest.kinds]
        if request.kind not in known:
            raise BadInputError(
                f"The model knows no kind {request.kind!r}.",
                hint=f"It knows {', '.join(known)}.",
                field="kind",
                reason="UNKNOWN_KIND",
            )
    return engine.calibrator(within_days=within_days, kind=request.kind or None)


def horizon_of(request: Request, calibrator: Calibrator | None) -> dict[str, Any]:
    """The fields of an answer."""
    days = None if calibrator is None else calibrator.horizon.days
    return {
        "horizon": pb.PROBABILITY_HORIZON_NEXT_EVENT if days is None else pb.PROBABILITY_HORIZON_WITHIN_DAYS,
        "horizon_days": days or 0.0,
        "kind": request.kind,
        "calibrated": calibrator is not None,
    }
