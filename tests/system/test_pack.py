"""Archives as others make and read them: round trips with Python's zipfile and tarfile, zip, unzip and tar, and the
folders that are not packed."""
import io
import os
import socket
import stat
import subprocess
import tarfile
import unicodedata
import zipfile

import pytest

from pack_house import pack, plant, tree, unpack, without_override

NAMES = {"a.txt": b"hello\n" * 1000, "sub/deep/noise.bin": os.urandom(300000), "sub/empty.bin": b"", "nothing/here": None,
         "中文/关键帧 é.jpg": os.urandom(5000), unicodedata.normalize("NFD", "é/ü.txt"): b"decomposed", "é/ü.txt": b"composed",
         "a+b=c&d%20 .txt": b"x", "-rf": b"y", "z" * 200 + "/" + "n" * 255: b"long", "sub.x": b"sorted beside sub"}
KINDS = [(kind, level) for kind in ("zip", "tar.gz") for level in ("store", "fast", "default", "maximum")]


@pytest.fixture
def folder(tmp_path):
    plant(tmp_path / "in", NAMES)
    os.chmod(tmp_path / "in" / "a.txt", 0o750)
    os.utime(tmp_path / "in" / "a.txt", (1600000001, 1600000001))
    os.makedirs(tmp_path / "out")
    return tmp_path


def whole():
    """With the folders that the names imply."""
    found = dict(NAMES)
    for name in NAMES:
        while "/" in name:
            name = os.path.dirname(name)
            found.setdefault(name, None)
    return found


def files():
    return {name: content for name, content in NAMES.items() if content is not None}


@pytest.mark.parametrize("kind, level", KINDS)
def test_there_and_back(folder, kind, level):
    count, original, packed, _ = pack(kind, level, folder / "in", folder / "archive")
    assert (count, original, packed) == (len(files()), sum(map(len, files().values())), os.path.getsize(folder / "archive"))
    assert unpack(folder / "archive", folder / "out") == (count, original)
    assert tree(folder / "out") == whole() == tree(folder / "in")
    is_now = os.stat(folder / "out" / "a.txt")
    assert is_now.st_mtime == 1600000001 and stat.S_IMODE(is_now.st_mode) == 0o755
    assert stat.S_IMODE(os.stat(folder / "out" / "sub.x").st_mode) == 0o644


@pytest.mark.parametrize("kind, level", KINDS)
def test_the_same_folder_makes_the_same_archive(folder, kind, level):
    one, other = pack(kind, level, folder / "in"), pack(kind, level, folder / "in")
    subprocess.run(["cp", "-a", folder / "in", folder / "copy"], check=True)
    assert one == other == pack(kind, level, folder / "copy")
    sums = subprocess.run(["sha256sum"], input=packed_bytes(folder, kind, level), capture_output=True, check=True).stdout
    assert one[3] == sums.split()[0].decode()


def packed_bytes(folder, kind, level):
    pack(kind, level, folder / "in", folder / "archive")
    return (folder / "archive").read_bytes()


@pytest.mark.parametrize("level", ["store", "fast", "maximum"])
def test_zipfile_and_unzip_read_ours(folder, level):
    pack("zip", level, folder / "in", folder / "archive.zip")
    with zipfile.ZipFile(folder / "archive.zip") as made:
        assert made.testzip() is None
        assert {name: made.read(name) for name in made.namelist() if not name.endswith("/")} == files()
        assert made.namelist() == sorted(made.namelist(), key=lambda name: name.encode().split(b"/"))
        assert made.getinfo("a.txt").external_attr >> 16 == stat.S_IFREG | 0o755
        assert made.getinfo("a.txt").compress_type == (zipfile.ZIP_STORED if level == "store" else zipfile.ZIP_DEFLATED)
    subprocess.run(["unzip", "-tq", folder / "archive.zip"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["unzip", "-q", folder / "archive.zip", "-d", folder / "out"], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert tree(folder / "out") == whole()


@pytest.mark.parametrize("level", ["store", "maximum"])
def test_tarfile_and_tar_read_ours(folder, level):
    pack("tar.gz", level, folder / "in", folder / "archive.tar.gz")
    with tarfile.open(folder / "archive.tar.gz") as made:
        assert {member.name: made.extractfile(member).read() for member in made if member.isfile()} == files()
        assert {(member.uid, member.gid, member.mode) for member in made if member.isfile()} == {(0, 0, 0o644), (0, 0, 0o755)}
    subprocess.run(["gzip", "-t", folder / "archive.tar.gz"], check=True)
    subprocess.run(["tar", "xzf", folder / "archive.tar.gz", "-C", folder / "out"], check=True)
    assert tree(folder / "out") == whole()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("how", ["plain", "zip64", "stream"])
def test_ours_reads_zipfile(folder, method, how):
    class Pipe(io.RawIOBase):
        """No seeking: sizes follow the bytes."""
        def __init__(self, file):
            self.file = file

        def writable(self):
            return True

        def write(self, data):
            return self.file.write(data)

    with open(folder / "archive", "wb") as file:
        with zipfile.ZipFile(Pipe(file) if how == "stream" else file, "w", method) as made:
            made.comment = b"PK\5\6 is how an end begins"
            for name, content in NAMES.items():
                if content is None:
                    made.writestr(name + "/", b"")
                    continue
                with made.open(zipfile.ZipInfo(name), "w", force_zip64=how == "zip64") as member:
                    member.write(content)
    assert unpack(folder / "archive", folder / "out") == (len(files()), sum(map(len, files().values())))
    assert tree(folder / "out") == whole()


def test_ours_reads_zip(folder):
    subprocess.run(["zip", "-1", "-r", "-q", folder / "archive.zip", "."], cwd=folder / "in", check=True,
                   env={**os.environ, "LC_ALL": "C.UTF-8"})
    unpack(folder / "archive.zip", folder / "out")
    assert tree(folder / "out") == whole()
    assert os.stat(folder / "out" / "a.txt").st_mtime == 1600000001


def test_ours_reads_tarfile(folder):
    with tarfile.open(folder / "archive", "w:gz", format=tarfile.GNU_FORMAT) as made:
        made.add(folder / "in", ".")
    unpack(folder / "archive", folder / "out")
    assert tree(folder / "out") == whole()


def test_ours_reads_pax(folder):
    os.unlink(folder / "in" / "é/ü.txt")
    os.rmdir(folder / "in" / "é")
    with tarfile.open(folder / "archive", "w:gz", format=tarfile.PAX_FORMAT) as made:
        made.add(folder / "in", ".")
    unpack(folder / "archive", folder / "out")
    found = {unicodedata.normalize("NFC", name): content for name, content in tree(folder / "in").items()}
    assert tree(folder / "out") == found  # libarchive composes what can be composed in a pax header


def test_pax_names_that_look_the_same_are_refused(folder):
    with tarfile.open(folder / "archive", "w:gz", format=tarfile.PAX_FORMAT) as made:
        made.add(folder / "in", ".")
    assert unpack(folder / "archive", folder / "out")[0] == "CONFLICT"


def test_ours_reads_tar(folder):
    subprocess.run(["tar", "czf", folder / "archive", "-C", folder / "in", "."], check=True)
    with open(folder / "archive", "ab") as file:  # as tapes are filled up
        file.write(bytes(5000))
    unpack(folder / "archive", folder / "out")
    assert tree(folder / "out") == whole()


def test_gzips_one_after_the_other_are_one(folder):
    plain = subprocess.run(["tar", "cf", "-", "-C", folder / "in", "."], capture_output=True, check=True).stdout
    with open(folder / "archive", "wb") as file:
        for part in (plain[:70000], plain[70000:]):
            file.write(subprocess.run(["gzip", "-c"], input=part, capture_output=True, check=True).stdout)
    unpack(folder / "archive", folder / "out")
    assert tree(folder / "out") == whole()


# ---- folders that are not packed -----------------------------------------------------------------

@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("inside", [{}, {"a": None, "b/c": None}])
def test_empty_folder_does_not_succeed_without_archive(tmp_path, kind, inside):
    plant(tmp_path / "in", {"x": None, **inside} if inside else {})
    os.makedirs(tmp_path / "in", exist_ok=True)
    status, why = pack(kind, "fast", tmp_path / "in", tmp_path / "archive")
    assert status == "EMPTY" and why
    assert os.path.getsize(tmp_path / "archive") == 0


@pytest.mark.parametrize("kind, level", KINDS)
def test_zero_byte_folder_does_not_divide_by_zero(tmp_path, kind, level):
    plant(tmp_path / "in", {"zero": b""})
    os.makedirs(tmp_path / "out")
    assert pack(kind, level, tmp_path / "in", tmp_path / "archive")[:2] == (1, 0)
    assert unpack(tmp_path / "archive", tmp_path / "out") == (1, 0)
    assert tree(tmp_path / "out") == {"zero": b""}


def make_link(path):
    os.symlink("a.txt", path)


def make_folder_link(path):
    os.symlink("sub", path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(os.path.dirname(path))
        one.bind(os.path.basename(path))
        os.chdir(here)


def make_bytes(path):
    with open(os.fsencode(path) + b"\xff\xfe", "w"):
        pass


def make_backslash(path):
    with open(str(path) + "a\\b", "w"):
        pass


def make_newline(path):
    with open(str(path) + "a\nb", "w"):
        pass


@pytest.mark.parametrize("make", [make_link, make_folder_link, os.mkfifo, make_socket, make_bytes, make_backslash, make_newline])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_nothing_is_left_out_in_silence(folder, make, kind):
    make(folder / "in" / "sub" / "odd")
    status, why = pack(kind, "fast", folder / "in", folder / "archive")
    assert status == "UNSUPPORTED" and why.startswith("sub/odd"), why
    assert os.path.getsize(folder / "archive") == 0  # told before a byte was sent


@pytest.mark.parametrize("path, name", [("a.txt", "a.txt"), ("sub", "sub")])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_unreadable_file_is_not_skipped(folder, kind, path, name):
    os.chmod(folder / "in" / path, 0)
    status, why = pack(kind, "fast", folder / "in", folder / "archive", preexec_fn=without_override)
    os.chmod(folder / "in" / path, 0o755)
    assert status == "DENIED" and why.startswith(name), why
    assert os.path.getsize(folder / "archive") == 0


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_file_that_grows_meanwhile(tmp_path, kind):
    plant(tmp_path / "in", {"one": os.urandom(1 << 20), "two": bytes(10)})
    status, why = pack(kind, "fast", tmp_path / "in", env={"PACK_TOUCH": str(tmp_path / "in" / "one")})
    assert status == "CONFLICT" and why.startswith("one "), why


def test_a_folder_that_is_none(tmp_path):
    plant(tmp_path, {"in/a": b"x", "file": b"y"})
    os.symlink("in", tmp_path / "link")
    for name, status in (("link", "ENOTDIR"), ("file", "ENOTDIR"), ("none", "ENOENT")):
        assert pack("zip", "fast", tmp_path / name)[0] == status


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("call", [1, 2, 4])
def test_what_the_sink_answers_is_passed_on(folder, kind, call):
    assert pack(kind, "fast", folder / "in", env={"PACK_SINK": str(call)})[0] == "BUSY"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_it_stops_when_told(folder, kind):
    assert pack(kind, "fast", folder / "in", env={"PACK_STOP": "3"})[0] == "ECANCELED"
    pack(kind, "store", folder / "in", folder / "archive")
    assert unpack(folder / "archive", folder / "out", env={"PACK_STOP": "3"})[0] == "ECANCELED"


# ---- many and large ------------------------------------------------------------------------------

def test_seventy_thousand_files(tmp_path):
    """More than a zip without zip64 can have."""
    for folder in range(70):
        os.makedirs(tmp_path / "in" / f"{folder:02}")
        top = os.open(tmp_path / "in" / f"{folder:02}", os.O_RDONLY)
        (tmp_path / "in" / f"{folder:02}" / "000000.txt").write_text(f"of {folder}")
        for number in range(1, 1000):  # names of one file, which are made sooner
            os.link("000000.txt", f"{number:06}.txt", src_dir_fd=top, dst_dir_fd=top)
        os.close(top)
    os.makedirs(tmp_path / "out")
    assert pack("zip", "store", tmp_path / "in", tmp_path / "archive")[0] == 70000
    assert unpack(tmp_path / "archive", tmp_path / "out")[0] == 70000
    assert (tmp_path / "out" / "69" / "000999.txt").read_text() == "of 69"
    with zipfile.ZipFile(tmp_path / "archive") as made:
        assert len(made.namelist()) == 70000 and made.read("69/000999.txt") == b"of 69"
    subprocess.run(["unzip", "-tq", tmp_path / "archive"], check=True, stdout=subprocess.DEVNULL)


def test_more_than_four_gib(tmp_path):
    size = (4 << 30) + 12345
    plant(tmp_path / "in", {"large": b"", "small": b"behind it"})
    os.truncate(tmp_path / "in" / "large", size)
    files, original, packed, _ = pack("zip", "store", tmp_path / "in")
    assert (files, original) == (2, size + 9) and original < packed < original + 1000


def test_a_member_behind_four_gib(tmp_path):
    with open(tmp_path / "archive", "wb") as file:
        file.write(b"PK\3\4")
        file.seek(5 << 30)  # a hole
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("far", b"away" * 1000)
    os.makedirs(tmp_path / "out")
    assert unpack(tmp_path / "archive", tmp_path / "out") == (1, 4000)
    assert tree(tmp_path / "out") == {"far": b"away" * 1000}
