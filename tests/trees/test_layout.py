"""However data, fills and cuts come, the extents are the file."""

from hypothesis import given
from hypothesis import strategies as st

from vfs.inode.extents import BlobRange, Fill
from vfs.trees.layout import Layout

PIECES = st.lists(st.tuples(st.integers(1, 50), st.sampled_from([None, None, 0, 7])), max_size=20)


@given(pieces=PIECES, cuts=st.lists(st.integers(1, 40)), late=st.booleans(), takes=st.booleans())
def test_extents_are_the_file(
    pieces: list[tuple[int, int | None]], cuts: list[int], late: bool, takes: bool
) -> None:
    layout = Layout()
    content: list[tuple[int, int]] = []  # a byte of the file: (-1, offset in the data) or (fill, 0)
    stream = 0  # bytes of data so far
    blobs: list[int] = []
    extents: list[BlobRange | Fill] = []

    def cut(*, everything: bool) -> None:
        while sum(blobs) < stream:
            length = cuts.pop() if cuts else 40
            if sum(blobs) + length > stream:
                if not everything:
                    return
                length = stream - sum(blobs)
            layout.blob(len(blobs), length)
            blobs.append(length)
            if takes:
                extents.extend(layout.take())

    for length, byte in pieces:
        if byte is None:
            layout.data(length)
            content += [(-1, stream + at) for at in range(length)]
            stream += length
            if not late:
                cut(everything=False)
        else:
            layout.fill(length, byte)
            content += [(byte, 0)] * length
    cut(everything=True)
    extents.extend(layout.take())
    found: list[tuple[int, int]] = []
    for extent in extents:
        if isinstance(extent, Fill):
            found += [(extent.byte, 0)] * extent.length
        else:
            assert extent.start + extent.length <= blobs[extent.blob]
            first = sum(blobs[: extent.blob]) + extent.start
            found += [(-1, first + at) for at in range(extent.length)]
    assert found == content
    assert layout.size == len(content)
