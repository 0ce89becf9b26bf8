"""The one table of scopes: what a caller must be allowed in order to call a method.

    read    answers about users, items and categories that the caller can name
    write   events and the catalog
    export  all users or all vectors at once
    admin   which model answers, and what is taken out of the catalog; each such call leaves an audit line

None includes another. A method without a row is refused at start, so that no new one is open by being forgotten.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from graph.storage.errors import PenchantError

Scope = Literal["read", "write", "export", "admin"]
ALL_SCOPES: tuple[Scope, ...] = get_args(Scope)

_BY_SERVICE: Mapping[str, Mapping[str, Scope | None]] = {
    "penchant.v1.InterestService": {"Score": "read", "Recommend": "read", "GetInterests": "read"},
    "penchant.v1.SimilarityService": {"FindSimilar": "read"},
    "penchant.v1.SegmentService": {
        "ListSegments": "read",
        "GetSegment": "read",
        "ListMembers": "export",
        "AssignSegments": "read",
    },
    "penchant.v1.EmbeddingService": {"BatchGetEmbeddings": "read", "ExportEmbeddings": "export"},
    "penchant.v1.EventService": {"RecordEvents": "write", "StreamEvents": "write"},
    "penchant.v1.CatalogService": {
        "UpsertItems": "write",
        "GetItem": "read",
        "ListItems": "read",
        "DeleteItem": "admin",
        "UpsertCategories": "write",
        "GetCategory": "read",
        "ListCategories": "read",
        "DeleteCategory": "admin",
        "UpsertUsers": "write",
        "GetUser": "read",
        "ListUsers": "export",
        "DeleteUser": "admin",
    },
    "penchant.v1.ModelService": {
        "ListModels": "read",
        "GetModel": "read",
        "ActivateModel": "admin",
        "RollbackModel": "admin",
        "ListLabels": "read",
        "SetLabel": "admin",
        "DeleteLabel": "admin",
    },
    "penchant.v1.ServerService": {"GetServerInfo": "read"},
    # Balancers and orchestrators ask without credentials.
    "grpc.health.v1.Health": {"Check": None, "Watch": None, "List": None},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": "read"},
}

SCOPES: Mapping[str, Scope | None] = {
    f"/{service}/{name}": scope for service, methods in _BY_SERVICE.items() for name, scope in methods.items()
}
"""By path, such as "/penchant.v1.InterestService/Score". None: open to everybody."""


def require_scopes(service: str, methods: Iterable[str]) -> None:
    """Raises PenchantError for a method of `service` that has no row."""
    for name in methods:
        if f"/{service}/{name}" not in SCOPES:
            raise PenchantError(
                f"Nobody has said who may call {service}/{name}.",
                hint="Give it a row in server/auth/scopes.py.",
                reason="NO_SCOPE",
            )
