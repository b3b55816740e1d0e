"""gantry-engine: each ffmpeg node as the worker starts it, on real files, good and bad."""

import json
import os
import re
import shutil
import subprocess
import wave

import msgpack
import pytest

from worker_house import alive

BIN = os.path.abspath(os.environ.get("GANTRY_BIN", "build/bin"))
FPS, SECONDS = 25, 8
WORDS = "Gantry hands a real video to a real engine. It waits for every word. This is the last sentence."

DEFAULTS = {
    "ffmpeg.extract_audio": {},
    "ffmpeg.extract_keyframes": {
        "keyframe_sample_count": 100, "upload_keyframes_to_minio": False,
        "compress_keyframes_before_upload": False, "keyframe_compression_format": "zip",
        "keyframe_compression_level": "default", "delete_local_keyframes_after_upload": False},
    "ffmpeg.crop_subtitle_images": {
        "upload_cropped_images_to_minio": False, "compress_directory_before_upload": False,
        "compression_format": "zip", "compression_level": "default",
        "delete_local_cropped_images_after_upload": False, "decode_processes": 10},
    "ffmpeg.split_audio_segments": {
        "group_by_speaker": False, "output_format": "wav", "sample_rate": 16000, "channels": 1,
        "min_segment_duration": 1.0, "max_segment_duration": 30.0, "include_silence": False,
        "enable_concurrent": True, "max_workers": 8, "concurrent_timeout": 600},
}
AUDIO, KEYFRAMES, CROP, SPLIT = DEFAULTS

SRT = """1
00:00:00,500 --> 00:00:02,000
[SPEAKER_00] Gantry hands

2
00:00:02,500 --> 00:00:04,250 position:50%
[SPEAKER_01] a real video
to a real engine

3
00:00:04,300 --> 00:00:04,700
[SPEAKER_00] short

4
00:00:05,000 --> 00:00:07,000
[SPEAKER_00] 这是最后一句
"""


def ffmpeg(*args):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *args], check=True, stdin=subprocess.DEVNULL)


def probe(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", f"file:{path}"],
                         check=True, capture_output=True).stdout
    return json.loads(out)


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """A short video with speech and a moving picture, and what is made of it."""
    d = tmp_path_factory.mktemp("media")
    subprocess.run(["espeak-ng", "-w", d / "speech.wav", WORDS], check=True)
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate={FPS}:duration={SECONDS}", "-i", d / "speech.wav",
           "-af", "apad", "-t", str(SECONDS), "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac",
           "-movflags", "+faststart", d / "video.mp4")
    ffmpeg("-i", d / "video.mp4", "-an", "-c", "copy", d / "silent.mp4")
    ffmpeg("-i", d / "video.mp4", "-frames:v", "5", "-an", d / "five.mp4")
    ffmpeg("-i", d / "video.mp4", "-t", "1", "-c", "copy", d / "second.mp4")
    ffmpeg("-i", d / "video.mp4", "-vn", d / "sound.wav")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=40", "-c:v", "libx264", "-preset", "ultrafast",
           "-g", "100", d / "long.mp4")
    (d / "corrupt.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + os.urandom(20000))
    whole = (d / "video.mp4").read_bytes()
    (d / "truncated.mp4").write_bytes(whole[:len(whole) // 2])
    (d / "notes.txt").write_text("not a video at all\n" * 50)
    (d / "empty.mp4").write_bytes(b"")
    (d / "subtitle.srt").write_text(SRT)
    return d


class Run:
    """One run of gantry-engine in an attempt's folder of its own."""

    def __init__(self, root, node, inputs, before=(), **env):
        self.folder = root / "task"
        self.work = self.folder / "tmp" / f"{node}.1"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.work.mkdir(parents=True)
        given = inputs if isinstance(inputs, bytes) else msgpack.packb(
            {k: str(v) if isinstance(v, os.PathLike) else v for k, v in {**DEFAULTS.get(node, {}), **inputs}.items()})
        reads, writes = os.pipe()
        process = subprocess.Popen(
            [*before, os.path.join(BIN, "gantry-engine"), node], cwd=self.work, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False,
            preexec_fn=lambda: os.dup2(os.dup(writes), 3),
            env={**os.environ, "TMPDIR": str(self.work), "GANTRY_FOLDER": str(self.folder),
                 "GANTRY_WORK": str(self.work), "GANTRY_TASK_ID": "t", "GANTRY_TASK_NAME": node,
                 "GANTRY_ATTEMPT": "1", "GANTRY_FFMPEG": "ffmpeg", "GANTRY_FFPROBE": "ffprobe", **env})
        os.close(writes)
        self.log = process.communicate(given, timeout=120)[0].decode(errors="replace")
        self.code = process.returncode
        with os.fdopen(reads, "rb") as f:
            self.messages = list(msgpack.Unpacker(f))
        self.progress = [m["progress"] for m in self.messages if "progress" in m]
        self.last = self.messages[-1] if self.messages else {}

    def output(self):
        assert self.code == 0 and "output" in self.last, (self.code, self.last, self.log)
        for source, target in self.last["files"]:
            assert not os.path.isabs(source) and not os.path.isabs(target)
            (self.folder / target).parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.work / source, self.folder / target)
        return self.last["output"]

    def error(self):
        assert self.code == 1 and list(self.last) == ["error"], (self.code, self.last, self.log)
        return self.last["error"]


@pytest.fixture
def run(tmp_path):
    return lambda node, inputs, **more: Run(tmp_path, node, inputs, **more)


# ---- extract_audio


def test_audio_is_16_khz_mono_pcm(run, media, tmp_path):
    out = run(AUDIO, {"video_path": media / "video.mp4"}).output()
    assert out == {"audio_path": str(tmp_path / "task/audio/video.wav")}
    stream, = probe(out["audio_path"])["streams"]
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == ("pcm_s16le", "16000", 1)
    assert abs(float(stream["duration"]) - SECONDS) < 0.1


@pytest.mark.parametrize("name", ["two words.mp4", "视频 中文.mp4", "-leading.mp4", "it's \"quoted\".mp4", "100%d.mp4",
                                  "$(touch x);`y`.mp4", "new\nline.mp4", "concat:a|b.mp4", "no_extension", "é" * 125 + ".ts"])
def test_odd_file_names(run, media, tmp_path, name):
    shutil.copy(media / "second.mp4", tmp_path / name)
    out = run(AUDIO, {"video_path": tmp_path / name}).output()
    assert probe(out["audio_path"])["format"]["format_name"] == "wav"
    stem = name[:-4] if name.endswith(".mp4") else name
    if len(name.encode()) < 200:
        assert os.path.basename(out["audio_path"]) == stem + ".wav"
    out = run(KEYFRAMES, {"video_path": tmp_path / name, "keyframe_sample_count": 3}).output()
    assert out["keyframe_files_count"] == 3
    out = run(CROP, {"video_path": tmp_path / name, "subtitle_area": [0, 0, 8, 8]}).output()
    assert out["cropped_images_files_count"] == FPS


def test_a_video_without_sound_fails_clearly(run, media):
    error = run(AUDIO, {"video_path": media / "silent.mp4"}).error()
    assert error["code"] == "FAILED" and error["field"] == "video_path" and "no audio stream" in error["message"]


@pytest.mark.parametrize("node", [AUDIO, KEYFRAMES, CROP])
@pytest.mark.parametrize("file,code", [("corrupt.mp4", "FAILED"), ("notes.txt", "FAILED"), ("empty.mp4", "INVALID"),
                                       ("truncated.mp4", "FAILED"), ("missing.mp4", "NOT_FOUND")])
def test_bad_files_fail_with_the_engines_words(run, media, node, file, code):
    r = run(node, {"video_path": media / file, "subtitle_area": [0, 0, 8, 8]})
    error = r.error()
    assert error["code"] == code and error["field"] == "video_path" and error["message"]
    assert error["message"] in r.log
    if file == "corrupt.mp4":
        assert "Invalid data" in error["message"] and "moov atom not found" in r.log


@pytest.mark.parametrize("node", [KEYFRAMES, CROP])
def test_sound_alone_is_no_video(run, media, node):
    error = run(node, {"video_path": media / "sound.wav", "subtitle_area": [0, 0, 8, 8]}).error()
    assert error["code"] == "FAILED" and "no video stream" in error["message"]


def test_playlists_are_no_videos(run, media, tmp_path):
    """Files that point at others must not make the engine read those."""
    for text in [f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:8,\nfile://{media}/video.mp4\n#EXT-X-ENDLIST\n",
                 f"ffconcat version 1.0\nfile '{media}/video.mp4'\n"]:
        (tmp_path / "list.m3u8").write_text(text)
        assert run(AUDIO, {"video_path": tmp_path / "list.m3u8"}).error()["code"] == "FAILED"


def test_a_stream_without_a_single_sample_is_no_sound(run, media, tmp_path):
    with wave.open(str(tmp_path / "zero.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    error = run(AUDIO, {"video_path": tmp_path / "zero.wav"}).error()
    assert (error["code"], error["field"]) == ("FAILED", "video_path") and "no sound" in error["message"]


def test_a_missing_program_is_told(run, media):
    error = run(AUDIO, {"video_path": media / "video.mp4"}, GANTRY_FFPROBE="no-such-ffprobe").error()
    assert "no such program" in error["message"]
    error = run(AUDIO, {"video_path": media / "video.mp4"}, GANTRY_FFMPEG="no-such-ffmpeg").error()
    assert "no such program" in error["message"]


def test_an_engine_that_makes_nothing_is_a_failure(run, media):
    error = run(AUDIO, {"video_path": media / "video.mp4"}, GANTRY_FFMPEG="true").error()
    assert error["code"] == "FAILED" and "no sound" in error["message"]
    error = run(KEYFRAMES, {"video_path": media / "video.mp4"}, GANTRY_FFMPEG="true").error()
    assert error["code"] == "FAILED" and "no picture" in error["message"]


# ---- extract_keyframes


@pytest.mark.parametrize("count", [1, 7, 100, FPS * SECONDS])
def test_keyframes_are_as_many_as_asked(run, media, tmp_path, count):
    out = run(KEYFRAMES, {"video_path": media / "video.mp4", "keyframe_sample_count": count}).output()
    assert out == {"keyframe_dir": str(tmp_path / "task/keyframes"), "keyframe_files_count": count}
    assert sorted(os.listdir(out["keyframe_dir"])) == [f"frame_{i:06}.jpg" for i in range(count)]
    stream, = probe(out["keyframe_dir"] + "/frame_000000.jpg")["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("mjpeg", 320, 180)


def test_a_very_short_video_gives_all_its_pictures(run, media):
    assert run(KEYFRAMES, {"video_path": media / "five.mp4"}).output()["keyframe_files_count"] == 5


def test_keyframes_of_a_long_video_are_jumped_to(run, media, tmp_path):
    r = run(KEYFRAMES, {"video_path": media / "long.mp4", "keyframe_sample_count": 6})
    assert r.output()["keyframe_files_count"] == 6
    sizes = {(tmp_path / f"task/keyframes/frame_{i:06}.jpg").read_bytes() for i in range(6)}
    assert len(sizes) == 6, "six different pictures"


@pytest.mark.parametrize("count", [0, 10001, -1, "many", 2.5])
def test_a_count_out_of_range_is_refused(run, media, count):
    error = run(KEYFRAMES, {"video_path": media / "video.mp4", "keyframe_sample_count": count}).error()
    assert (error["code"], error["field"]) == ("INVALID", "keyframe_sample_count")


@pytest.mark.parametrize("node,field", [(n, k) for n in (KEYFRAMES, CROP) for k in DEFAULTS[n] if k.startswith("upload_")])
def test_an_upload_without_a_store_is_unsupported_never_ignored(run, media, node, field):
    error = run(node, {"video_path": media / "video.mp4", "subtitle_area": [0, 0, 8, 8], field: True}).error()
    assert (error["code"], error["field"]) == ("UNSUPPORTED", field) and "objects.endpoint" in error["message"]


@pytest.mark.parametrize("node,field", [(n, k) for n in (KEYFRAMES, CROP) for k, v in DEFAULTS[n].items() if v is False and not k.startswith("upload_")])
def test_how_an_upload_is_made_matters_only_to_one(run, media, node, field):
    out = run(node, {"video_path": media / "video.mp4", "subtitle_area": [0, 0, 8, 8], "keyframe_sample_count": 2, field: True}).output()
    assert os.listdir(out["keyframe_dir" if node == KEYFRAMES else "cropped_images_path"])


# ---- crop_subtitle_images


def test_one_cropped_image_for_each_picture(run, media, tmp_path):
    r = run(CROP, {"video_path": media / "video.mp4", "subtitle_area": [11, 121, 310, 178]})
    out = r.output()
    frames = tmp_path / "task/cropped_images/frames"
    assert out == {"cropped_images_path": str(frames), "cropped_images_files_count": FPS * SECONDS}
    assert sorted(os.listdir(frames)) == [f"frame_{i:08}.jpg" for i in range(FPS * SECONDS)]
    stream, = probe(frames / "frame_00000199.jpg")["streams"]
    assert (stream["width"], stream["height"]) == (299, 57)


def test_parallel_decoding_gives_the_same_pictures(run, media, tmp_path):
    pictures = []
    for processes in (1, 4):
        r = run(CROP, {"video_path": media / "long.mp4", "subtitle_area": [0, 0, 160, 40], "decode_processes": processes})
        assert r.output()["cropped_images_files_count"] == 1000
        assert r.progress
        frames = tmp_path / "task/cropped_images/frames"
        pictures.append([(frames / f"frame_{i:08}.jpg").read_bytes() for i in range(1000)])
        assert not [n for n in os.listdir(r.work) if n.startswith("part_")]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("suffix", ["mkv", "ts", "webm", "avi", "mp4"])
def test_containers_and_varying_rates(run, media, tmp_path, suffix):
    """As many images as decoding yields pictures, also when their distances vary or the beginning was cut off."""
    video, codec = tmp_path / f"v.{suffix}", "libvpx" if suffix == "webm" else "mpeg4" if suffix == "avi" else "libx264"
    rate = [] if suffix == "avi" else ["-vf", "select=not(mod(n\\,3))+gt(random(0)\\,0.5)", "-fps_mode", "vfr"]
    ffmpeg("-i", media / "long.mp4", "-t", "30", *rate, "-c:v", codec, "-deadline", "realtime", "-preset", "ultrafast", tmp_path / f"whole.{suffix}")
    ffmpeg("-ss", "3.3", "-i", tmp_path / f"whole.{suffix}", "-c", "copy", video)
    count = subprocess.run(["ffmpeg", "-v", "quiet", "-i", video, "-fps_mode", "passthrough", "-f", "null", "-progress", "-", "-"],
                           capture_output=True, text=True, check=True).stdout
    count = int(re.findall(r"frame=(\d+)", count)[-1])
    for processes in (1, 2):
        out = run(CROP, {"video_path": video, "subtitle_area": [1, 1, 100, 60], "decode_processes": processes}).output()
        assert out["cropped_images_files_count"] == count > 200
    for wanted in (3, 100):
        out = run(KEYFRAMES, {"video_path": video, "keyframe_sample_count": wanted}).output()
        assert out["keyframe_files_count"] == wanted


@pytest.mark.parametrize("area", [[0, 0, 321, 10], [0, 0, 10, 181], [-1, 0, 10, 10], [10, 0, 10, 10], [0, 9, 10, 4],
                                  [0, 0, 10], [0, 0, 10, 10, 10], ["a", 0, 1, 1], "0,0,1,1", [0, 0, 1.5, 2], None,
                                  [0, 0, float("nan"), 2], [0, 0, 1e300, 2]])
def test_a_wrong_area_is_refused(run, media, area):
    error = run(CROP, {"video_path": media / "video.mp4", "subtitle_area": area}).error()
    assert (error["code"], error["field"]) == ("INVALID", "subtitle_area")


def test_an_area_lies_in_the_picture_as_shown(run, media, tmp_path):
    ffmpeg("-i", media / "five.mp4", "-c", "copy", "-metadata:s:v:0", "rotate=90", tmp_path / "portrait.mp4")
    area = {"video_path": tmp_path / "portrait.mp4", "subtitle_area": [0, 200, 180, 320]}
    run(CROP, area).output()
    assert run(CROP, {**area, "subtitle_area": [0, 0, 320, 180]}).error()["field"] == "subtitle_area"


# ---- split_audio_segments


def info(out):
    with open(out["split_info_file"], encoding="utf-8") as f:
        return json.load(f)


def split(run, media, **more):
    return run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": media / "subtitle.srt", **more})


def test_segments_by_subtitle(run, media, tmp_path):
    out = split(run, media).output()
    folder = tmp_path / "task/audio_segments"
    assert out["audio_segments_dir"] == str(folder)
    assert out["split_info_file"] == str(folder / "split_info.json")
    assert (out["audio_source"], out["subtitle_source"]) == (str(media / "sound.wav"), str(media / "subtitle.srt"))
    assert (out["total_segments"], out["successful_segments"], out["failed_segments"], out["segments_count"]) == (3, 3, 0, 3)
    assert (out["audio_format"], out["sample_rate"], out["channels"]) == ("wav", 16000, 1)
    assert abs(out["total_duration"] - 5.25) < 1e-6 and out["processing_time"] >= 0
    assert set(out["speaker_summary"]) == {"SPEAKER_00", "SPEAKER_01"}
    assert out["speaker_summary"]["SPEAKER_00"]["count"] == 2
    assert abs(out["speaker_summary"]["SPEAKER_00"]["duration"] - 3.5) < 1e-6

    listing = info(out)
    assert listing["skipped_segments"] == 1
    assert [s["status"] for s in listing["segments"]] == ["ok", "ok", "skipped", "ok"]
    assert listing["segments"][1]["text"] == "a real video to a real engine"
    assert listing["segments"][3]["text"] == "这是最后一句"
    for s in listing["segments"]:
        if s["status"] == "ok":
            with wave.open(str(folder / s["file"])) as w:
                assert (w.getframerate(), w.getnchannels(), w.getsampwidth()) == (16000, 1, 2)
                assert w.getnframes() == round(s["duration"] * 16000)
    assert sorted(os.listdir(folder)) == sorted([s["file"] for s in listing["segments"] if "file" in s] + ["split_info.json"])


@pytest.mark.parametrize("kind,codec", [("wav", "pcm_s16le"), ("mp3", "mp3"), ("flac", "flac")])
@pytest.mark.parametrize("concurrent", [True, False])
def test_formats(run, media, tmp_path, kind, codec, concurrent):
    out = split(run, media, output_format=kind, sample_rate=22050, channels=2, enable_concurrent=concurrent).output()
    for s in info(out)["segments"]:
        if s["status"] == "ok":
            stream, = probe(tmp_path / "task/audio_segments" / s["file"])["streams"]
            assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == (codec, "22050", 2)
            assert abs(float(stream["duration"]) - s["duration"]) < 0.1


def test_segments_hold_the_right_sound(run, media, tmp_path):
    """Half silence, half tone: a cut on either side tells whether its place is right."""
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='if(lt(t,2),0,0.5*sin(2000*t))':s=44100:d=4", "-c:a", "aac", tmp_path / "half.m4a")
    (tmp_path / "s.json").write_text(json.dumps({"segments": [{"start": 0.5, "end": 1.8, "text": "a"}, {"start": 2.2, "end": 3.8, "text": "b"}]}))
    out = run(SPLIT, {"audio_path": tmp_path / "half.m4a", "subtitle_path": tmp_path / "s.json"}).output()
    loud = []
    for s in info(out)["segments"]:
        with wave.open(str(tmp_path / "task/audio_segments" / s["file"])) as w:
            samples = memoryview(w.readframes(w.getnframes())).cast("h")
            loud.append(sum(abs(x) for x in samples) / len(samples))
    assert loud[0] < 10 and loud[1] > 1000, loud
    assert out["speaker_summary"] == {}


def test_grouped_by_speaker(run, media, tmp_path):
    (tmp_path / "s.json").write_text(json.dumps([
        {"start": 0, "end": 1.5, "text": "a", "speaker": "../../Eve"}, {"start": 2, "end": 3.5, "text": "b", "speaker": "说话人 一"},
        {"start": 4, "end": 5.5, "text": "c"}]))
    out = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": tmp_path / "s.json", "group_by_speaker": True}).output()
    assert [s["file"] for s in info(out)["segments"]] == [
        "_._.._Eve/segment_0001.wav", "说话人_一/segment_0002.wav", "unknown/segment_0003.wav"]
    for s in info(out)["segments"]:
        assert (tmp_path / "task/audio_segments" / s["file"]).stat().st_size > 44


def test_long_ones_are_cut_and_silence_is_kept_when_asked(run, media, tmp_path):
    (tmp_path / "s.json").write_text(json.dumps([{"start": 2, "end": 7, "text": "long"}]))
    out = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": tmp_path / "s.json", "max_segment_duration": 2,
                      "include_silence": True, "min_segment_duration": 0.5}).output()
    got = [(s["start"], s["end"], s["part"], s["parts"], s["silence"]) for s in info(out)["segments"]]
    assert got[:4] == [(0, 2, 1, 1, True), (2, 3.667, 1, 3, False), (3.667, 5.333, 2, 3, False), (5.333, 7, 3, 3, False)]
    start, end, *rest = got[4]
    assert start == 7 and abs(end - SECONDS) < 0.1 and rest == [1, 1, True] and len(got) == 5


def test_a_failed_segment_is_counted_and_listed(run, media, tmp_path):
    (tmp_path / "s.json").write_text(json.dumps([{"start": 1, "end": 3, "text": "good"}, {"start": 100, "end": 103, "text": "beyond"},
                                                 {"start": 5, "end": 4, "text": "backwards"}]))
    out = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": tmp_path / "s.json"}).output()
    assert (out["total_segments"], out["successful_segments"], out["failed_segments"]) == (3, 1, 2)
    errors = {s["text"]: s["error"] for s in info(out)["segments"] if s["status"] == "failed"}
    assert "after the end" in errors["beyond"] and "before it starts" in errors["backwards"]


def test_all_failed_is_a_failed_stage(run, media, tmp_path):
    (tmp_path / "s.json").write_text(json.dumps([{"start": 100, "end": 103, "text": "beyond"}]))
    error = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": tmp_path / "s.json"}).error()
    assert error["code"] == "FAILED" and "after the end" in error["message"]


@pytest.fixture
def broken_encoder(tmp_path):
    """An ffmpeg that fails or hangs on the second segment, and works otherwise."""
    def make(what):
        path = tmp_path / "broken-ffmpeg"
        path.write_text(f'#!/bin/sh\ncase "$*" in *segment_0002*) {what} ;; esac\nexec ffmpeg "$@"\n')
        path.chmod(0o755)
        return str(path)
    return make


def test_a_segment_that_fails_to_encode_keeps_its_reason(run, media, broken_encoder):
    out = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": media / "subtitle.srt", "output_format": "flac"},
              GANTRY_FFMPEG=broken_encoder("echo out of luck >&2; exit 3")).output()
    assert (out["successful_segments"], out["failed_segments"]) == (2, 1)
    assert [s["error"] for s in info(out)["segments"] if s["status"] == "failed"] == ["out of luck"]


def test_concurrent_timeout_fails_what_hangs(run, media, broken_encoder):
    r = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": media / "subtitle.srt", "output_format": "mp3",
                    "concurrent_timeout": 2}, GANTRY_FFMPEG=broken_encoder("exec sleep 60"))
    listing = info(r.output())
    failed = [s for s in listing["segments"] if s["status"] == "failed"]
    assert failed and all("concurrent_timeout" in s["error"] for s in failed)


@pytest.mark.parametrize("text", ["", " \n\n", "[]", '{"segments": []}', "1\n00:00:01,000 --> 00:00:01,100\nshort\n"])
def test_nothing_to_cut_is_skipped(run, media, tmp_path, text):
    (tmp_path / "s.srt").write_text(text)
    r = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": tmp_path / "s.srt"})
    assert r.code == 0 and r.last["skipped"]["total_segments"] == 0 and r.last["skipped"]["reason"]


@pytest.mark.parametrize("text", ["just some prose\n", '{"segments": 3}', "[{}]", '[{"start": 1}]', "{", "[1,", '"text"'])
def test_what_is_no_subtitle_is_refused(run, media, tmp_path, text):
    (tmp_path / "s.srt").write_text(text)
    error = run(SPLIT, {"audio_path": media / "sound.wav", "subtitle_path": tmp_path / "s.srt"}).error()
    assert (error["code"], error["field"]) == ("INVALID", "subtitle_path") and error["message"]


@pytest.mark.parametrize("field,value", [("output_format", "ogg"), ("sample_rate", 999), ("channels", 0), ("channels", 9),
                                         ("min_segment_duration", -1), ("max_segment_duration", 0.5), ("max_workers", 0),
                                         ("concurrent_timeout", 0), ("group_by_speaker", "yes"), ("audio_path", "")])
def test_wrong_options_are_refused(run, media, field, value):
    error = split(run, media, **{field: value}).error()
    assert (error["code"], error["field"]) == ("INVALID", field)


def test_mp3_knows_only_some_rates(run, media):
    assert split(run, media, output_format="mp3", sample_rate=17000).error()["field"] == "sample_rate"
    assert split(run, media, output_format="mp3", channels=3).error()["field"] == "channels"


# ---- the program


def test_progress_grows_and_is_not_told_too_often(run, media, tmp_path):
    slow = tmp_path / "slow-ffmpeg"
    slow.write_text('#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10; do echo "out_time_us=${i}00000" >&3; echo "progress=continue" >&3; sleep 0.1; done\nexec ffmpeg "$@"\n')
    slow.chmod(0o755)
    r = run(AUDIO, {"video_path": media / "video.mp4"}, GANTRY_FFMPEG=str(slow))
    r.output()
    assert 2 <= len(r.progress) <= 8, r.progress
    assert r.progress == sorted(r.progress) and all(0 < p <= 1 for p in r.progress)


@pytest.mark.parametrize("words,code", [
    ("echo out.wav: No space left on device >&2; exit 1", "UNAVAILABLE"), ("kill -9 $$", "UNAVAILABLE"),
    ("echo no such codec >&2; exit 1", "FAILED"), ("echo bad data >&2; exit 183", "FAILED")])
def test_what_may_go_better_the_next_time_is_unavailable(run, media, tmp_path, words, code):
    script = tmp_path / "ffmpeg"
    script.write_text(f"#!/bin/sh\n{words}\n")
    script.chmod(0o755)
    assert run(AUDIO, {"video_path": media / "video.mp4"}, GANTRY_FFMPEG=str(script)).error()["code"] == code


@pytest.mark.parametrize("junk", [b"", b"\xc0", b"\x93\1\2\3", b"\x81\xa1a", b"\xdf\xff\xff\xff\xff", b"\x80\x80\x80", b"\x80\x01", b"x" * 70000])
def test_junk_instead_of_inputs(run, junk):
    assert run(AUDIO, junk).error()["code"] == "MALFORMED"


def test_a_missing_input_is_named(run):
    for node in DEFAULTS:
        error = run(node, {}).error()
        assert error["code"] == "INVALID" and error["field"] in ("video_path", "audio_path")


def test_usage():
    for args in ([], ["no.such"], [AUDIO, "more"], [AUDIO]):
        r = subprocess.run([os.path.join(BIN, "gantry-engine"), *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert r.returncode == 2 and "usage" in r.stderr and SPLIT in r.stderr


def test_killed_it_takes_its_children_along(media, tmp_path):
    sleeper = tmp_path / "sleeper"
    sleeper.write_text(f'#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n')
    sleeper.chmod(0o755)
    reads, writes = os.pipe()
    process = subprocess.Popen([os.path.join(BIN, "gantry-engine"), AUDIO], cwd=tmp_path, stdin=subprocess.PIPE, close_fds=False,
                               preexec_fn=lambda: os.dup2(os.dup(writes), 3),
                               env={**os.environ, "GANTRY_FOLDER": str(tmp_path), "GANTRY_FFMPEG": str(sleeper)})
    process.stdin.write(msgpack.packb({"video_path": str(media / "video.mp4")}))
    process.stdin.close()
    for _ in range(1000):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip():
            break
        subprocess.run(["sleep", "0.01"])
    pid = int((tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    os.close(writes), os.close(reads)
    for _ in range(500):
        if not alive(pid):
            return
        subprocess.run(["sleep", "0.01"])
    pytest.fail("the child lives on")


@pytest.mark.parametrize("node,inputs", [
    (AUDIO, {}), (KEYFRAMES, {"keyframe_sample_count": 3}), (CROP, {"subtitle_area": [0, 0, 8, 8]}),
    (SPLIT, {"output_format": "mp3"})])
def test_nothing_is_written_outside_the_attempts_folder(run, media, tmp_path, node, inputs):
    """Every call that makes, opens for writing or renames a file, of the engine and of all its children."""
    log = tmp_path / "strace.log"
    trace = "trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat"
    options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # leaks cannot be looked for while being traced
    r = run(node, {"video_path": media / "video.mp4", "audio_path": media / "sound.wav", "subtitle_path": media / "subtitle.srt", **inputs},
            before=["strace", "-f", "-qq", "-s", "4096", "-e", trace, "-o", str(log)], ASAN_OPTIONS=options)
    r.output()
    outside, writes = [], 0
    for line in log.read_text().splitlines():
        call = re.match(r'\d+ +(\w+)\((.*)\) += (-?\d+)', line)
        if not call or int(call[3]) < 0 or (call[1].startswith("open") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE", call[2])):
            continue
        writes += 1
        for path in re.findall(r'"((?:[^"\\]|\\.)*)"', call[2]):
            if path.startswith("/") and not path.startswith((str(r.work) + "/", "/dev/", "/proc/")):
                outside.append(line)
    assert writes > 0 and outside == []
