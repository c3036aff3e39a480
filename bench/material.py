"""Bytes to store, made from a seed: logs as servers write them, arrays of floats, compressed media.

Promises the same bytes for the same seed on every machine. It never writes a file.
"""

import random
from collections.abc import Iterator

from bench.sizes import MIB

FLOAT_BYTES = 4
LINES_A_PIECE = 5000
FRAME_BYTES = 64 * 1024
FRAME_HEADER = b"\x00\x00\x01\xe0frame of a stream, 1920x1080, 25/s; "

_PATHS = ("/", "/login", "/api/v2/items", "/api/v2/items/{}", "/static/app.{}.js", "/search?q={}", "/health")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
    "curl/7.88.1",
    "kube-probe/1.29",
)
_MESSAGES = (
    "connection from {} accepted",
    "query took {} ms",
    "cache miss for key user:{}:profile",
    "retrying request {} after timeout",
    "session {} closed by peer",
)
_LEVELS = ("INFO", "INFO", "INFO", "DEBUG", "DEBUG", "WARNING", "ERROR")


def _access_line(chance: random.Random, seconds: float) -> str:
    path = chance.choice(_PATHS).format(chance.randrange(1 << 20))
    address = f"10.{chance.randrange(4)}.{chance.randrange(256)}.{chance.randrange(256)}"
    clock = f"{int(seconds) // 3600 % 24:02}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
    status = chance.choice((200, 200, 200, 200, 304, 404, 500))
    return (
        f'{address} - - [21/Nov/2026:{clock} +0000] "GET {path} HTTP/1.1" {status} {chance.randrange(40000)} '
        f'"-" "{chance.choice(_AGENTS)}" {chance.random():.3f}\n'
    )


def _service_line(chance: random.Random, seconds: float) -> str:
    message = chance.choice(_MESSAGES).format(chance.randrange(100_000))
    request = f"{chance.getrandbits(64):016x}"
    return (
        f'{{"time": {1795219200 + seconds:.6f}, "level": "{chance.choice(_LEVELS)}", "service": '
        f'"worker-{chance.randrange(16)}", "request": "{request}", "message": "{message}"}}\n'
    )


def log_pieces(seed: int) -> Iterator[bytes]:
    """Without end: an access log (even seeds) or the JSON log of a service (odd ones), in order of time."""
    chance = random.Random(seed)
    line = _service_line if seed % 2 else _access_line
    seconds = 0.0
    while True:
        lines = []
        for _ in range(LINES_A_PIECE):
            seconds += chance.random() * 0.01
            lines.append(line(chance, seconds))
        yield "".join(lines).encode()


_EXPONENTS = bytes([0x3C, 0x3D, 0x3D, 0x3E, 0xBC, 0xBD, 0xBD, 0xBE] * 32)
"""Of each random byte the highest byte of a float near zero, as weights are: a few values, both signs."""


def floats(chance: random.Random, size_bytes: int) -> bytearray:
    """Weights as a program would dump them: three bytes of four are noise, the fourth is one of a few."""
    data = bytearray(chance.randbytes(size_bytes))
    data[3::FLOAT_BYTES] = bytes(data[3::FLOAT_BYTES]).translate(_EXPONENTS)
    return data


def media(chance: random.Random, size_bytes: int) -> bytes:
    """Noise under the headers of a container, as in compressed video, sound or images."""
    frames = [
        FRAME_HEADER + number.to_bytes(4, "big") + chance.randbytes(FRAME_BYTES - len(FRAME_HEADER) - 4)
        for number in range(-(-size_bytes // FRAME_BYTES))
    ]
    return b"".join(frames)[:size_bytes]


# -- variants that neither repeat nor cost much to make ------------------------------------------


def text_base(size_bytes: int, seed: int) -> bytes:
    pieces = log_pieces(seed)
    data = bytearray()
    while len(data) < size_bytes:
        data += next(pieces)
    return bytes(data[:size_bytes])


def variant(base: bytes | memoryview, seed: int) -> bytes:
    """The same data in another alphabet: as compressible as before, with no span in common."""
    alphabet = list(range(256))
    random.Random(seed).shuffle(alphabet)
    return bytes(base).translate(bytes(alphabet))


MIXED_KINDS = ("text", "binary", "incompressible", "zero runs")


class Mixture:
    """Pieces of one MiB of each kind in turn, without end, no two alike, made as fast as memory goes."""

    def __init__(self, seed: int, base_mib: int = 16) -> None:
        chance = random.Random(seed)
        size_bytes = base_mib * MIB
        self._bases = {
            "text": text_base(size_bytes, seed),
            "binary": bytes(floats(chance, size_bytes)),
            "incompressible": chance.randbytes(size_bytes),
        }
        self._base_mib = base_mib

    def piece(self, number: int) -> bytes:
        kind = MIXED_KINDS[number % len(MIXED_KINDS)]
        lap, place = divmod(number // len(MIXED_KINDS), self._base_mib)
        if kind == "zero runs":
            # Three quarters of zeros, a quarter of data that is found nowhere else.
            island = variant(self._slice("text", place)[: MIB // 4], ~lap)
            return bytes(MIB // 2) + island + bytes(MIB // 4)
        return variant(self._slice(kind, place), lap)

    def _slice(self, kind: str, place: int) -> memoryview:
        return memoryview(self._bases[kind])[place * MIB : (place + 1) * MIB]
