"""Files with a secret wherever their format has room for one, and the same pixels and samples."""

import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from rankspace.media import encode
from rankspace.media.sample import Frame, Part
from tests.worlds import tone

SECRET = b"PLANTED+59.9386+030.3141"
WAVE = tone(400, 0.3)
X, Y = np.meshgrid(np.arange(48), np.arange(32))
PIXELS = np.stack([5 * X, 7 * Y, 3 * (X + Y)], axis=-1).astype(np.uint8)
FRAMES = [np.roll(PIXELS, 5 * at, axis=1) for at in range(4)]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TURN = 6


def exif(turn: int = TURN) -> bytes:
    """A camera, a place, a thumbnail and a turn."""
    found = Image.Exif()
    found[0x010E] = SECRET.decode()
    found[0x0112] = turn
    found[0x8825] = {1: "N", 2: (59.0, 56.0, 1.0), 29: SECRET.decode()}
    small = BytesIO()
    Image.fromarray(PIXELS[::4, ::4].copy()).save(small, "JPEG", comment=SECRET)
    return found.tobytes() + small.getvalue()


def segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, 2 + len(body)) + body


def jpeg(progressive: bool = False) -> bytes:
    out = BytesIO()
    image = Image.fromarray(PIXELS)
    options = {"exif": exif(), "comment": SECRET, "icc_profile": PROFILE}
    image.save(out, "JPEG", quality=80, progressive=progressive, **options)
    plain = out.getvalue()
    thumbnail = b"JFIF\0\1\2\0\0\1\0\1\2\2" + SECRET[:12]
    more = [
        segment(0xE0, thumbnail),
        segment(0xE0, b"JFXX\0\x10" + SECRET),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + SECRET),
        segment(0xE2, b"MPF\0" + SECRET),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x18" + SECRET),
        segment(0xEB, SECRET),
    ]
    scan = plain.rindex(b"\xff\xda")
    late = segment(0xFE, SECRET) + segment(0xE1, exif(3))
    return plain[:2] + b"".join(more) + plain[2:scan] + late + plain[scan:] + SECRET


def png(animated: bool = False) -> bytes:
    out, texts = BytesIO(), PngInfo()
    texts.add_text("Author", SECRET.decode())
    texts.add_text("exif", "II*\0" + SECRET.decode())
    texts.add_text("transparency", SECRET.decode(), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    more = {"save_all": True, "append_images": [Image.fromarray(FRAMES[1])]} if animated else {}
    Image.fromarray(PIXELS).save(
        out, "PNG", pnginfo=texts, exif=exif(), icc_profile=PROFILE, dpi=(72, 72), **more
    )
    plain = out.getvalue()
    private = [(b"tIME", b"\x07\xe9\1\1\1\1\1"), (b"prVt", SECRET), (b"sPLT", SECRET + b"\0\x08")]
    chunks = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in private
    )
    return plain[:33] + chunks + plain[33:] + SECRET


def gif() -> bytes:
    plain = encode.gif(FRAMES, 5)
    at = 13 + (3 << (plain[10] & 7) + 1 if plain[10] & 0x80 else 0)
    block = bytes([len(SECRET)]) + SECRET + b"\0"
    xmp = b"\x21\xff\x0bXMP DataXMP" + block
    text = b"\x21\x01\x0c" + bytes(12) + block
    return plain[:at] + b"\x21\xfe" + block + xmp + text + plain[at:] + SECRET


def webp(animated: bool = False, lossless: bool = False) -> bytes:
    out = BytesIO()
    more = {"save_all": True, "append_images": [Image.fromarray(FRAMES[1])]} if animated else {}
    Image.fromarray(PIXELS).save(
        out,
        "WEBP",
        lossless=lossless,
        exif=exif(),
        xmp=b"<x:xmpmeta>" + SECRET,
        icc_profile=PROFILE,
        **more,
    )
    own = chunk(b"prvt", SECRET)
    whole = out.getvalue() + own
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:] + SECRET


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def wav() -> bytes:
    plain = encode.wav(WAVE)
    info = chunk(b"LIST", b"INFO" + chunk(b"ICMT", SECRET))
    others = b"".join(chunk(name, SECRET) for name in (b"bext", b"iXML", b"JUNK", b"_PMX"))
    after = chunk(b"id3 ", b"ID3\3\0\0\0\0\0\x18" + SECRET)
    whole = plain[:12] + info + plain[12:36] + others + plain[36:] + after
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def id3(body: bytes) -> bytes:
    size = len(body)
    return b"ID3\3\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + body


def ape(key: bytes) -> bytes:
    item = struct.pack("<II", len(SECRET), 0) + key + b"\0" + SECRET
    footer = struct.pack("<8sIIII8x", b"APETAGEX", 2000, len(item) + 32, 1, 0)
    return item + footer


def mp3() -> bytes:
    frame = b"WXXX" + struct.pack(">IH", len(SECRET) + 2, 0) + b"\0\0" + SECRET
    old = b"TAG" + SECRET.ljust(125, b"\0")
    return id3(frame) + id3(frame) + encode.mp3(WAVE) + old


def flac() -> bytes:
    plain = encode.flac(WAVE)
    head, rest = plain[:42], plain[42:]
    drawn = encode.png(PIXELS[:2, :2])
    picture = struct.pack(">II9sI", 3, 9, b"image/png", len(SECRET)) + SECRET
    picture += struct.pack(">IIIII", 2, 2, 24, 0, len(drawn)) + drawn
    blocks = [(2, b"rank" + SECRET), (1, SECRET), (6, picture)]
    more = b"".join(struct.pack(">I", kind << 24 | len(body)) + body for kind, body in blocks)
    return head[:4] + bytes([head[4] & 0x7F]) + head[5:] + more + rest


def muxed(form: str, codec: str, comment: str = "c") -> bytes:
    """A sound in a container that FFmpeg tags."""
    out = BytesIO()
    with av.open(out, "w", format=form) as container:
        container.metadata.update({"title": SECRET.decode(), "location": SECRET.decode()})
        stream = container.add_stream(codec, 48_000 if codec == "libopus" else 16_000)
        assert isinstance(stream, AudioStream)
        stream.metadata["comment"] = comment
        frame = av.AudioFrame.from_ndarray(WAVE[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        resampler = AudioResampler(format=stream.format, layout="mono", rate=stream.rate)
        for piece in resampler.resample(frame) + resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return out.getvalue()


def vorbis(comment: str) -> bytes:
    out = BytesIO()
    with soundfile.SoundFile(out, "w", 16_000, 1, "VORBIS", format="OGG") as file:
        file.comment = file.title = comment
        file.write(WAVE)
    return out.getvalue()


def film(form: str, **flags: str) -> bytes:
    """A film, copied packet by packet into a container with tags."""
    whole = encode.mp4(FRAMES, 5, WAVE) if form != "webm" else encode.webm(FRAMES, 5, WAVE)
    with (
        tempfile.NamedTemporaryFile() as file,  # what starts fast is read again when it is closed
        av.open(BytesIO(whole), "r") as source,
    ):
        with av.open(file.name, "w", format=form, container_options=flags) as sink:
            _copy(source, sink)
        return Path(file.name).read_bytes()


def _copy(source: InputContainer, sink: OutputContainer) -> None:
    sink.metadata.update(
        {key: SECRET.decode() for key in ("title", "comment", "location", "artist")}
    )
    streams = {one.index: sink.add_stream_from_template(one) for one in source.streams}
    for stream in streams.values():
        stream.metadata.update({"title": SECRET.decode(), "handler_name": SECRET.decode()})
    for packet in source.demux():
        if packet.dts is not None:
            packet.stream = streams[packet.stream.index]
            sink.mux(packet)


FILES: Mapping[str, Callable[[], Part]] = {
    "jpeg": lambda: Part("image", jpeg()),
    "jpeg progressive": lambda: Part("image", jpeg(progressive=True)),
    "png": lambda: Part("image", png()),
    "png animated": lambda: Part("image", png(animated=True)),
    "gif": lambda: Part("image", gif()),
    "gif film": lambda: Part("video", gif()),
    "webp": lambda: Part("image", webp()),
    "webp lossless": lambda: Part("image", webp(lossless=True)),
    "webp animated": lambda: Part("image", webp(animated=True)),
    "wav": lambda: Part("audio", wav()),
    "mp3": lambda: Part("audio", mp3()),
    "mp3 with ape": lambda: Part("audio", mp3()[:-128] + ape(b"Comment")),
    "mp3 of FFmpeg": lambda: Part("audio", muxed("mp3", "libmp3lame")),
    "flac": lambda: Part("audio", flac()),
    "flac of FFmpeg": lambda: Part("audio", muxed("flac", "flac")),
    "opus": lambda: Part("audio", muxed("ogg", "libopus")),
    "opus with much to say": lambda: Part(
        "audio", muxed("ogg", "libopus", SECRET.decode() * 6_000)
    ),
    "vorbis": lambda: Part("audio", vorbis(SECRET.decode())),
    "vorbis with much to say": lambda: Part("audio", vorbis(SECRET.decode() * 6_000)),
    "mp4": lambda: Part("video", film("mp4")),
    "mp4 fast to start": lambda: Part("video", film("mp4", movflags="faststart")),
    "mp4 in fragments": lambda: Part("video", film("mp4", movflags="frag_keyframe+empty_moov")),
    "quicktime": lambda: Part("video", film("mov")),
    "webm": lambda: Part("video", film("webm")),
    "webm live": lambda: Part("video", film("webm", live="1")),
    "frames": lambda: Part(
        "video", encoding="frames", frames=(Frame(0, jpeg()), Frame(9, jpeg(progressive=True)))
    ),
}
