"""What libraries do in `s3_speed`, each in a process of its own: ``s3_clients.py CLIENT ROW ENDPOINT LOCAL PREFIX``.

Prints the seconds of the work alone, without imports. It needs nothing but the library it is asked for, since rivals
live in environments of their own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BUCKET = "bench"
REGION = "us-east-1"
_THREADS = 16
_RANGE = 8 << 20

Work = Callable[[str, Path, str], None]
"""Does a row: row, local file or folder, prefix or key."""


def _files(local: Path) -> list[tuple[Path, str]]:
    return [(path, path.name) for path in sorted(local.iterdir())]


def _in_threads(action: Callable[[Any], object], things: list[Any]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(action, things):
            pass


def storage(endpoint: str) -> Work:
    """Use ``rc.storage``, as a notebook does."""
    from runctl_jupyter import Runctl
    from runctl_jupyter.orchestration import S3Options

    rc, there = Runctl("aws", region=REGION, bucket=BUCKET).storage, S3Options(endpoint_url=endpoint)

    def work(row: str, local: Path, prefix: str) -> None:
        uri = f"s3://{BUCKET}/{prefix}"
        if row.startswith("up"):
            rc.upload(local, uri, recursive=row == "up-many", options=there)
        elif row.startswith("down"):
            rc.download(uri, local, recursive=row == "down-many", options=there)
        elif row == "sync":
            rc.sync(local, uri, options=there)
        else:
            assert len(rc.list(uri, recursive=row == "list", limit=1000 if row == "first" else None, options=there))

    return work


def obstore(endpoint: str) -> Work:
    """Use the object-store library as plainly as can be: nothing verified, nothing resumable."""
    import obstore as library
    from obstore.store import S3Store

    keys = {"access_key_id": os.environ["AWS_ACCESS_KEY_ID"], "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    store = S3Store(BUCKET, region=REGION, endpoint=endpoint, client_options={"allow_http": True}, **keys)

    def get(key: str, path: Path) -> None:
        with path.open("wb") as out:
            for piece in library.get(store, key).stream():
                out.write(piece)

    def get_ranges(key: str, path: Path) -> None:
        size = library.head(store, key)["size"]
        with path.open("wb") as out:
            _in_threads(
                lambda at: os.pwrite(
                    out.fileno(), library.get_range(store, key, start=at, end=min(at + _RANGE, size)), at
                ),
                list(range(0, size, _RANGE)),
            )

    def work(row: str, local: Path, prefix: str) -> None:
        if row == "up-one":
            library.put(store, prefix, local, chunk_size=_RANGE, max_concurrency=10)
        elif row == "down-one":
            get_ranges(prefix, local)
        elif row == "up-many":
            _in_threads(lambda each: library.put(store, f"{prefix}/{each[1]}", each[0].read_bytes()), _files(local))
        elif row == "down-many":
            local.mkdir()
            keys = [meta["path"] for meta in library.list(store, f"{prefix}/").collect()]
            _in_threads(lambda key: get(key, local / key.rpartition("/")[2]), keys)
        elif row == "list":
            assert sum(len(page) for page in library.list(store, f"{prefix}/", chunk_size=1000)) > 0
        else:
            assert next(iter(library.list(store, f"{prefix}/", chunk_size=1000)))

    return work


def boto3(endpoint: str, transfer_client: str = "classic") -> Work:
    """Use boto3 with its TransferManager."""
    import boto3 as library
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    config = Config(max_pool_connections=_THREADS * 2, s3={"addressing_style": "path"})
    client = library.client("s3", endpoint_url=endpoint, region_name=REGION, config=config)
    large = TransferConfig(max_concurrency=10, preferred_transfer_client=transfer_client)
    crt = transfer_client == "crt"
    small = large if crt else TransferConfig(use_threads=False)

    def pages(prefix: str) -> Any:
        return client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")

    def work(row: str, local: Path, prefix: str) -> None:
        if row == "up-one":
            client.upload_file(str(local), BUCKET, prefix, Config=large)
        elif row == "down-one":
            client.download_file(BUCKET, prefix, str(local), Config=large)
        elif row == "up-many":
            _in_threads(
                lambda each: client.upload_file(str(each[0]), BUCKET, f"{prefix}/{each[1]}", Config=small),
                _files(local),
            )
        elif row == "down-many":
            local.mkdir()
            keys = [each["Key"] for page in pages(prefix) for each in page["Contents"]]
            _in_threads(
                lambda key: client.download_file(BUCKET, key, str(local / key.rpartition("/")[2]), Config=small), keys
            )
        elif row == "list":
            assert sum(page["KeyCount"] for page in pages(prefix)) > 0
        else:
            assert client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")["KeyCount"] > 0

    return work


def s3fs(endpoint: str) -> Work:
    """Use s3fs as people do."""
    import s3fs as library

    fs = library.S3FileSystem(endpoint_url=endpoint, client_kwargs={"region_name": REGION})

    def work(row: str, local: Path, prefix: str) -> None:
        there = f"{BUCKET}/{prefix}"
        if row == "up-one":
            fs.put_file(str(local), there)
        elif row == "down-one":
            fs.get_file(there, str(local))
        elif row == "up-many":
            fs.put(f"{local}/", f"{there}/", recursive=True)
        elif row == "down-many":
            fs.get(f"{there}/", f"{local}/", recursive=True)
        else:
            assert fs.find(there)

    return work


CLIENTS: dict[str, Callable[[str], Work]] = {
    "rc.storage": storage,
    "obstore": obstore,
    "boto3": boto3,
    "boto3-crt": lambda endpoint: boto3(endpoint, "crt"),
    "s3fs": s3fs,
}


def main() -> None:
    """Do one row and print its seconds."""
    client, row, endpoint, local, prefix = sys.argv[1:]
    work = CLIENTS[client](endpoint)
    started = time.perf_counter()
    work(row, Path(local), prefix)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
