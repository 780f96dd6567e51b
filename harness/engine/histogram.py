"""Merges, packs and reads latency histograms, all in the layout that the engine records."""

import base64
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import TypedDict

from hdrh.histogram import HdrHistogram

LOWEST_US = 1
HIGHEST_US = 60_000_000
DIGITS = 3

# Of a V2 histogram and of its compressed form, as the package writes them.
PAYLOAD_COOKIE, COMPRESSED_COOKIE = 0x1C849313, 0x1C849314
HEADER_BYTES = 40

# With fewer values, fewer than ten of them lie above the 99.9th percentile.
P999_COUNT_MIN = 10_000


class Percentiles(TypedDict):
    """Latencies in microseconds; None where there are too few values."""

    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float | None
    mean: float | None
    count: int


def merge(payloads: Iterable[bytes]) -> HdrHistogram:
    """Return one histogram with the values of all `payloads` (uncompressed V2 encodings).

    No payload gives an empty histogram. Raises HdrCookieException when one is not a V2 payload.
    """
    merged = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for payload in payloads:
        merged.add(HdrHistogram.decode(zlib.compress(payload, 1), b64_wrap=False))
    return merged


def recorded(histogram: HdrHistogram) -> Iterator[tuple[int, int]]:
    """(latency in microseconds, how many) of each bucket that has some, ascending.

    The latency is the highest in the bucket, as in the package's own iterator. That iterator walks
    all buckets below the last in Python, which takes 50 ms and delays the turns of other trials.
    """
    for index, count in enumerate(histogram.counts[:]):
        if count:
            lowest = histogram.get_value_from_index(index)
            yield int(histogram.get_highest_equivalent_value(lowest)), count


def encode(histogram: HdrHistogram) -> str:
    """Return the compressed V2 encoding in base64, which `HdrHistogram.decode` reads."""
    text: bytes = histogram.encode()
    return text.decode("ascii")


def decode(text: str) -> HdrHistogram:
    """Return the histogram that `encode` packed."""
    return HdrHistogram.decode(text)


def damage(text: str) -> str | None:
    """Describe the fault of a text that `encode` should have made; None if it has none.

    Both headers are read (HdrHistogram's V2 log format); the checksum of zlib proves the counts.
    """
    try:
        packed = base64.b64decode(text, validate=True)
        cookie, length = struct.unpack_from(">II", packed)
        payload = zlib.decompress(packed[8:])
        layout = struct.unpack_from(">IIIIQQd", payload)
    except (ValueError, struct.error, zlib.error) as error:
        return str(error)
    if cookie != COMPRESSED_COOKIE or length != len(packed) - 8:
        return "its header or its length is wrong"
    known = (PAYLOAD_COOKIE, len(payload) - HEADER_BYTES, 0, DIGITS, LOWEST_US, HIGHEST_US, 1.0)
    return None if layout == known else "it has another layout than this engine's"


def percentiles(histogram: HdrHistogram) -> Percentiles:
    """Return the usual percentiles in microseconds, with the resolution of the histogram."""
    count = int(histogram.get_total_count())
    if count == 0:
        return Percentiles(p50=None, p90=None, p99=None, p999=None, max=None, mean=None, count=0)
    at = histogram.get_percentile_to_value_dict([50.0, 90.0, 99.0, 99.9])
    return Percentiles(
        p50=float(at[50.0]),
        p90=float(at[90.0]),
        p99=float(at[99.0]),
        p999=float(at[99.9]) if count >= P999_COUNT_MIN else None,
        max=float(histogram.get_max_value()),
        mean=float(histogram.get_mean_value()),
        count=count,
    )
