"""Archives that mean harm, or are broken: what is refused, in which words, and that nothing of them is left."""
import gzip
import io
import os
import struct
import subprocess
import tarfile
import zlib

import pytest

from pack_house import Zip, deflate, plant, tree, unpack

LINK, DEVICE, PIPE = 0o120777, 0o020666, 0o010666


@pytest.fixture
def here(tmp_path):
    plant(tmp_path / "out", {"mine": b"stays", "folder/too": b"stays"})
    plant(tmp_path, {"outside": b"untouched"})
    yield tmp_path
    assert (tmp_path / "outside").read_bytes() == b"untouched"
    assert tree(tmp_path / "out")["mine"] == b"stays"
    assert sorted(os.listdir(tmp_path)) == ["archive", "out", "outside"]


def refused(here, archive, status, *words, **more):
    (here / "archive").write_bytes(archive)
    got, why = unpack(here / "archive", here / "out", **more)
    assert got == status and why, (got, why)
    for word in words:
        assert word in why, why


def one_zip(name, content=b"content", **lies):
    made = Zip()
    made.add("before", b"first")
    made.add(name, content, **lies)
    made.add("behind", b"last")
    return made.end()


def one_tar(name, content=b"content", kind=tarfile.REGTYPE, target="", form=tarfile.GNU_FORMAT, pax=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as made:
        for each, bytes_, type_ in (("before", b"first", tarfile.REGTYPE), (name, content, kind), ("behind", b"last", tarfile.REGTYPE)):
            member = tarfile.TarInfo(each)
            member.type, member.linkname = type_, target if each == name else ""
            member.size = len(bytes_) if type_ == tarfile.REGTYPE else 0
            if pax and each == name:
                member.pax_headers = pax
            made.addfile(member, io.BytesIO(bytes_))
    return out.getvalue()


NAMES = [("../outside", "DENIED", "leave"), ("a/../../outside", "DENIED", "leave"), ("/etc/passwd", "DENIED", "absolute"),
         ("a/..", "DENIED", "leave"), ("..", "DENIED", "leave"), ("//x", "DENIED", "absolute"), ("a\\b", "MALFORMED", "backslash"),
         ("..\\outside", "MALFORMED", "backslash"), ("a\nb", "MALFORMED", "control"), ("n" * 256, "MALFORMED", "too long"),
         ("d/" * 1030 + "x", "MALFORMED", "long")]


@pytest.mark.parametrize("make", [one_zip, one_tar])
@pytest.mark.parametrize("name, status, word", NAMES)
def test_archive_that_escapes_its_folder(here, make, name, status, word):
    refused(here, make(name), status, word)


@pytest.mark.parametrize("name", [b"a\0b", b"\0", b"ok\0/../../outside"])
def test_nul_in_a_name(here, name):
    refused(here, one_zip(name), "MALFORMED", "NUL")


@pytest.mark.parametrize("flags", [0, 0x800])
def test_a_name_that_is_no_utf8(here, flags):
    refused(here, one_zip(b"caf\xe9", flags=flags), "MALFORMED", "UTF-8")
    refused(here, one_zip("中文".encode("gbk"), flags=flags), "MALFORMED", "UTF-8")


def test_a_tar_name_that_is_no_utf8(here):
    refused(here, one_tar("caf\udce9"), "MALFORMED", "UTF-8")


@pytest.mark.parametrize("mode, word", [(LINK, "link"), (DEVICE, "neither"), (PIPE, "neither"), (0o140777, "neither"), (0o060666, "neither")])
@pytest.mark.parametrize("method", [0, 8])
def test_zip_links_and_devices(here, mode, word, method):
    refused(here, one_zip("odd", b"../outside", mode=mode, method=method), "DENIED", "odd", word)


@pytest.mark.parametrize("kind, word", [(tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "link"), (tarfile.CHRTYPE, "neither"),
                                        (tarfile.BLKTYPE, "neither"), (tarfile.FIFOTYPE, "neither")])
def test_tar_links_and_devices(here, kind, word):
    refused(here, one_tar("odd", kind=kind, target="../outside"), "DENIED", "odd", word)


def test_a_link_that_stands_there_is_not_followed(here):
    os.symlink("..", here / "out" / "way")
    refused(here, one_zip("way/outside"), "CONFLICT", "way")
    refused(here, one_tar("way/outside"), "CONFLICT", "way")
    os.unlink(here / "out" / "way")


@pytest.mark.parametrize("name", ["mine", "folder", "folder/new", "folder/too", "mine/x"])
@pytest.mark.parametrize("make", [one_zip, one_tar])
def test_what_stands_there_is_not_touched(here, make, name):
    refused(here, make(name), "CONFLICT", name.split("/")[0])


@pytest.mark.parametrize("names", [("same", "same"), ("a", "a/b"), ("a/b", "a"), ("./a", "a"), ("a//b", "a/./b"), ("a/", "a")])
def test_two_members_of_one_name(here, names):
    made = Zip()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in names:
            folder = name.endswith("/")
            made.add(name, b"" if folder else b"x", mode=0o40755 if folder else 0o100644)
            member = tarfile.TarInfo(name)
            member.type, member.size = (tarfile.DIRTYPE, 0) if folder else (tarfile.REGTYPE, 1)
            tar.addfile(member, io.BytesIO(b"x"))
    refused(here, made.end(), "CONFLICT", "a")
    refused(here, out.getvalue(), "CONFLICT", "a")


def test_names_that_differ_in_case_are_two(here):
    made = Zip()
    made.add("A", b"1")
    made.add("a", b"2")
    (here / "archive").write_bytes(made.end())
    assert unpack(here / "archive", here / "out") == (2, 2)


@pytest.mark.parametrize("mode", [0o104755, 0o102755, 0o101777, 0o100777, 0o100000])
def test_modes_are_two(here, mode):
    (here / "archive").write_bytes(one_zip("x", mode=mode))
    assert unpack(here / "archive", here / "out")[0] == 3
    assert os.stat(here / "out" / "x").st_mode == (0o100755 if mode & 0o100 else 0o100644)


# ---- caps ----------------------------------------------------------------------------------------

def test_files_max(here):
    for make in (one_zip, one_tar):
        refused(here, make("x"), "TOO_LARGE", "2", "unpack.files_max", limits=(2, 1 << 30, 1000))
        refused(here, make("a/b/c/d/x"), "TOO_LARGE", "6", "unpack.files_max", limits=(6, 1 << 30, 1000))


def test_one_folder_again_and_again(here):
    made = Zip()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for _ in range(1000):
            made.add("a/", mode=0o40755)
            member = tarfile.TarInfo("a")
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
    for archive in (made.end(), out.getvalue()):
        refused(here, archive, "TOO_LARGE", "100", "unpack.files_max", limits=(100, 1 << 30, 1000))


@pytest.mark.parametrize("make", [one_zip, one_tar])
def test_bytes_max(here, make):
    refused(here, make("x", os.urandom(1000000)), "TOO_LARGE", "500000", "unpack.bytes_max", limits=(10, 500000, 1000))


@pytest.mark.parametrize("make", [one_zip, one_tar])
def test_ratio_max(here, make):
    archive = make("x", bytes(10 << 20))
    refused(here, archive, "TOO_LARGE", "100 times", str(len(archive)), "unpack.ratio_max", limits=(10, 1 << 30, 100))


@pytest.mark.parametrize("make", [one_zip, one_tar])
def test_limits_are_no_byte_less(here, make):
    (here / "archive").write_bytes(make("x", b"12345"))
    assert unpack(here / "archive", here / "out", limits=(3, 14, 1)) == (3, 14)


def test_sizes_that_lie(here):
    big = bytes(1 << 20)
    refused(here, one_zip("x", big, size=10), "MALFORMED", "more bytes")
    refused(here, one_zip("x", big, size=1 << 21), "MALFORMED", "fewer bytes")
    refused(here, one_zip("x", b"abc", method=0, size=2), "MALFORMED", "more bytes")
    refused(here, one_zip("x", b"abc", method=0, size=4), "MALFORMED", "fewer bytes")
    refused(here, one_zip("x", big, packed=5), "MALFORMED", "x")
    refused(here, one_zip("x", b"abc", data=deflate(b"abc") + b"more"), "MALFORMED", "x")
    refused(here, one_zip("x", b"abc", packed=1 << 31), "MALFORMED", "outside")
    refused(here, one_zip("x", b"", data=b"junk", method=8), "MALFORMED", "x")


def test_a_bomb_of_members_that_lie_upon_each_other(here):
    """As David Fifield made them: each member's bytes are the next one's head quoted, and then the same."""
    kernel = deflate(bytes(1 << 20), 9)
    crc, size, packed = zlib.crc32(bytes(1 << 20)), 1 << 20, len(kernel)
    body, members = b"", []
    names = [b"%03d" % number for number in range(60)]
    stack = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0x21, crc, packed, size, 3, 0) + names[-1] + kernel
    members.append((names[-1], crc, packed, size, len(stack)))
    plain = bytes(1 << 20)
    for name in reversed(names[:-1]):
        head_size = 33
        quoted = stack[:head_size]
        plain = quoted + plain
        data = b"\0" + struct.pack("<HH", head_size, head_size ^ 0xffff)
        crc, size, packed = zlib.crc32(plain), len(plain), 5 + packed + head_size
        stack = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0x21, crc, packed, size, 3, 0) + name + data + stack
        members.append((name, crc, packed, size, len(stack)))
    body, directory = stack, b""
    for name, crc, packed, size, left in reversed(members):
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 3 << 8 | 20, 20, 0, 8, 0, 0x21, crc, packed, size, 3, 0, 0, 0, 0,
                                 0o100644 << 16, len(body) - left) + name
    archive = body + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 60, 60, len(directory), len(body), 0)
    refused(here, archive, "MALFORMED", "another member", limits=(1000, 1 << 40, 1000000))
    refused(here, archive, "TOO_LARGE", "unpack.ratio_max", limits=(1000, 1 << 40, 100))


def test_one_place_for_many_members(here):
    made = Zip()
    at = made.add("x", bytes(1 << 20))
    made.add("y", bytes(1 << 20), offset=at)
    refused(here, made.end(), "MALFORMED", "another name")


# ---- broken --------------------------------------------------------------------------------------

@pytest.mark.parametrize("make", [one_zip, one_tar])
def test_cut_off_anywhere(here, make):
    archive = make("x", os.urandom(3000) + bytes(3000))
    for size in [*range(0, len(archive), max(1, len(archive) // 60)), len(archive) - 1]:
        refused(here, archive[:size], "MALFORMED")


def test_wrong_checksum(here):
    content = os.urandom(3000)
    for method in (0, 8):
        refused(here, one_zip("x", content, method=method, crc=1), "MALFORMED", "x", "checksum")
        archive = bytearray(one_zip("x", content, method=method))
        archive[archive.index(content[:8]) + 100] ^= 1
        refused(here, bytes(archive), "MALFORMED", "x")
    archive = bytearray(one_tar("x", content))
    archive[-6] ^= 1
    refused(here, bytes(archive), "MALFORMED", "check")


def test_corrupt_anywhere_it_never_ends_well(here):
    """A bit turned in a tar.gz is always found: there is one checksum of all."""
    archive = one_tar("x", os.urandom(2000))
    for at in range(10, len(archive), max(1, len(archive) // 50)):
        broken = bytearray(archive)
        broken[at] ^= 0x10
        (here / "archive").write_bytes(bytes(broken))
        assert unpack(here / "archive", here / "out")[0] in ("MALFORMED", "DENIED", "CONFLICT", "TOO_LARGE"), at


def test_encrypted_and_strange_methods(here):
    refused(here, one_zip("x", flags=1), "UNSUPPORTED", "encrypted")
    for method in (1, 9, 12, 14, 93, 99):
        refused(here, one_zip("x", method=method), "UNSUPPORTED", str(method))


def test_a_directory_that_lies(here):
    made = Zip()
    made.add("x", b"1")
    made.add("y", b"2")
    refused(here, made.end(count=1), "MALFORMED", "more members")
    refused(here, made.end(count=3), "MALFORMED", "fewer members")
    refused(here, made.end(begin=5), "MALFORMED", "elsewhere")
    refused(here, made.end(size=5), "MALFORMED", "elsewhere")
    refused(here, made.end(begin=1 << 31), "MALFORMED", "elsewhere")
    refused(here, made.end(disk=1), "UNSUPPORTED", "several")
    refused(here, b"PK\3\4" + bytes(30) + made.end(), "MALFORMED", "elsewhere")
    refused(here, made.end() + b"more", "MALFORMED", "cut off")


def test_heads_that_lie(here):
    refused(here, one_zip("x", local_name=b"y"), "MALFORMED", "another name")
    refused(here, one_zip("x", local_name=b"longer"), "MALFORMED", "x")
    refused(here, one_zip("x", local_method=0), "MALFORMED", "x")
    for offset in (7, 1 << 20, 0xfffffffe):
        refused(here, one_zip("x", offset=offset), "MALFORMED", "x")
    refused(here, one_zip("x", size=0xffffffff), "MALFORMED", "x")
    refused(here, one_zip("x", size=0xffffffff, extra=struct.pack("<HHI", 1, 4, 0)), "MALFORMED")
    refused(here, one_zip("x", packed=0xffffffff, extra=struct.pack("<HHQ", 1, 8, (1 << 64) - 1)), "MALFORMED", "outside")
    refused(here, one_zip("x", packed=0xffffffff, extra=struct.pack("<HHQ", 1, 8, 1 << 63)), "MALFORMED", "outside")


@pytest.mark.parametrize("archive", [b"", b"P", b"PK", b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"hello world", b"Rar!\x1a\7\0", b"7z\xbc\xaf\x27\x1c",
                                     gzip.compress(b"no tar" * 1000), gzip.compress(b""), os.urandom(1000)])
def test_no_archive(here, archive):
    refused(here, archive, "MALFORMED")


def test_what_follows_a_tar(here):
    archive = one_tar("x")
    refused(here, archive + b"garbage", "MALFORMED")
    refused(here, archive + archive[:40], "MALFORMED", "cut off")
    refused(here, archive + gzip.compress(os.urandom(2 << 20)), "MALFORMED", "follows")


def test_a_bomb_behind_a_tar(here):
    refused(here, one_tar("x") + gzip.compress(bytes(100 << 20)), "MALFORMED", "follows")


def test_a_sparse_file_of_a_terabyte(here):
    """Its zeros count as they come."""
    with open(here / "large", "wb") as file:
        file.truncate(1 << 40)
    archive = subprocess.run(["tar", "cSzf", "-", "-C", here, "large"], capture_output=True, check=True).stdout
    os.unlink(here / "large")
    refused(here, archive, "TOO_LARGE", "unpack.bytes_max", limits=(10, 1 << 20, 1000000))
    refused(here, archive, "TOO_LARGE", "unpack.ratio_max")


def test_pax_headers_without_an_end(here):
    refused(here, one_tar("x", form=tarfile.PAX_FORMAT, pax={"comment": "y" * (2 << 20)}), "MALFORMED")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as made:
        for _ in range(100):
            member = tarfile.TarInfo("././@PaxHeader")
            member.type, data = tarfile.XGLTYPE, b"13 comment=a\n"
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
        made.addfile(tarfile.TarInfo("x"))
    refused(here, out.getvalue(), "MALFORMED")


def test_a_full_disk_leaves_nothing(here):
    (here / "archive").write_bytes(one_zip("x", os.urandom(1 << 20)))
    before = tree(here / "out")
    done = subprocess.run(["bash", "-c", 'trap "" XFSZ; ulimit -f 100; exec "$@"', "bash",
                           os.path.join(os.environ["GANTRY_BUILD"], "tests", "pack_probe"), "unpack", here / "archive",
                           here / "out", "10", "10000000", "1000"], capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("EFBIG x "), done
    assert tree(here / "out") == before


def test_no_folder_no_file(here):
    (here / "archive").write_bytes(one_zip("x"))
    for archive, folder, status in (("archive", "none", "ENOENT"), ("none", "out", "ENOENT"), ("out", "out", "MALFORMED"),
                                    ("archive", "archive", "ENOTDIR")):
        assert unpack(here / archive, here / folder)[0] == status
