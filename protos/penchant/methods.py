"""The methods of both clients, each named once: what it asks is in questions.py and upkeep.py.

A method of PenchantClient gives back what the same one of AsyncPenchantClient gives to `await` or `async for`; type
checkers see the parameters and the results of either.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from penchant import calls, questions, upkeep
from penchant.calls import Call, Export, Pages, Stream

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from penchant.client import AsyncPenchantClient, PenchantClient
    from penchant.vectors import EmbeddingChunk

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Row = TypeVar("Row")


class _Method:
    """Bound to a client, it makes the call of its arguments and has the client's caller run it."""

    _run: str

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name

    def _bind(self, client: Any) -> Any:
        if client is None:
            return self._make  # for help() and inspect

        @wraps(self._make)
        def method(*arguments: Any, **named: Any) -> Any:
            return getattr(client._caller, self._run)(self._make(*arguments, **named))

        method.__name__ = self.__name__
        return method


class Unary(_Method, Generic[Arguments, Result]):
    """One request, one answer."""

    _run = "unary"

    if TYPE_CHECKING:

        def __init__(self, make: Callable[Arguments, Call[Any, Result]]) -> None: ...

    @overload
    def __get__(self, client: "PenchantClient", owner: type) -> Callable[Arguments, Result]: ...
    @overload
    def __get__(
        self, client: "AsyncPenchantClient", owner: type
    ) -> Callable[Arguments, Coroutine[Any, Any, Result]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Callable[Arguments, Call[Any, Result]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self._bind(client)


class Listing(_Method, Generic[Arguments, Row]):
    """Many results, one after the other."""

    if TYPE_CHECKING:

        @overload
        def __init__(self: "Listing[Arguments, Row]", make: Callable[Arguments, Pages[Any, Row]]) -> None: ...
        @overload
        def __init__(self: "Listing[Arguments, EmbeddingChunk]", make: Callable[Arguments, Export]) -> None: ...
        @overload
        def __init__(self: "Listing[Arguments, Message]", make: Callable[Arguments, Stream]) -> None: ...
        def __init__(self, make: Callable[..., Any]) -> None: ...

    _run = "many"

    @overload
    def __get__(self, client: "PenchantClient", owner: type) -> Callable[Arguments, Iterator[Row]]: ...
    @overload
    def __get__(self, client: "AsyncPenchantClient", owner: type) -> Callable[Arguments, AsyncIterator[Row]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Callable[Arguments, Any]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self._bind(client)


class Methods:
    """A method per rpc."""

    score = Unary(questions.score)
    recommend = Unary(questions.recommend)
    get_interests = Unary(questions.get_interests)

    find_similar = Unary(questions.find_similar)

    list_segments = Listing(questions.list_segments)
    get_segment = Unary(questions.get_segment)
    list_members = Listing(questions.list_members)
    assign_segments = Unary(questions.assign_segments)

    batch_get_embeddings = Unary(questions.batch_get_embeddings)
    export_embeddings = Listing(questions.export_embeddings)

    record_events = Unary(upkeep.record_events)

    upsert_items = Unary(upkeep.upsert_items)
    get_item = Unary(upkeep.get_item)
    list_items = Listing(upkeep.list_items)
    delete_item = Unary(upkeep.delete_item)
    upsert_categories = Unary(upkeep.upsert_categories)
    get_category = Unary(upkeep.get_category)
    list_categories = Listing(upkeep.list_categories)
    delete_category = Unary(upkeep.delete_category)
    upsert_users = Unary(upkeep.upsert_users)
    get_user = Unary(upkeep.get_user)
    list_users = Listing(upkeep.list_users)
    delete_user = Unary(upkeep.delete_user)

    list_models = Listing(upkeep.list_models)
    get_model = Unary(upkeep.get_model)
    activate_model = Unary(upkeep.activate_model)
    rollback_model = Unary(upkeep.rollback_model)
    list_labels = Unary(upkeep.list_labels)
    set_label = Unary(upkeep.set_label)
    delete_label = Unary(upkeep.delete_label)

    get_server_info = Unary(upkeep.get_server_info)

    call = Unary(calls.any_call)
    stream = Listing(calls.any_stream)
