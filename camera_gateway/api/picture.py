"""A JPEG of a key frame. PyAV is imported only here, when somebody asks for a picture."""

from __future__ import annotations

import io
from fractions import Fraction

from storage.errors import MediaError


def jpeg_of(media: bytes) -> bytes:
    """Decode the first picture of `media` (init segment and fragment) and encode it as JPEG. Blocking, about 10 ms.

    Raises:
        MediaError: the picture cannot be decoded.
    """
    import av
    import av.error

    try:
        with av.open(io.BytesIO(media), format="mp4", mode="r") as container:
            frame = next(container.decode(video=0))
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height = frame.width, frame.height
            encoder.pix_fmt = "yuvj420p"
            encoder.options = {"qscale": "3"}

            encoder.time_base = Fraction(1, 25)
            picture = frame.reformat(format="yuvj420p")
            picture.pts = 0
            packets = [*encoder.encode(picture), *encoder.encode(None)]
    except (av.error.FFmpegError, StopIteration, IndexError) as error:
        raise MediaError("picture_undecodable", "the key frame cannot be decoded") from error
    return b"".join(bytes(packet) for packet in packets)
