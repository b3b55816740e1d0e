"""audio_separator.separate_vocals on real sound: what the stems are worth, in decibels, and every way it may be refused."""
import array
import math
import operator
import os
import shutil
import subprocess
import time
import wave

import pytest

from harness import System, processes_in, until
from test_engines import Run, ffmpeg, probe

NODE, AUDIO, SPLIT = "audio_separator.separate_vocals", "ffmpeg.extract_audio", "ffmpeg.split_audio_segments"
CONFIG = "audio_separator_config"
MODES = {"fast": "ffmpeg-dialoguenhance-centre", "default": "ffmpeg-afftfilt-centre-4096", "high_quality": "ffmpeg-afftfilt-centre-4096+8192"}
WORDS = "The quick brown fox jumps over the lazy dog, while a real engine takes the music away. And every word of it is kept."
RATE, SECONDS = 44100, 7
LEFT = "0.10*sin(2*PI*220*t)+0.08*sin(2*PI*330*t)+0.06*sin(2*PI*(440+3*sin(5*t))*t)+0.06*sin(2*PI*1318*t)*(0.5+0.5*sin(4*PI*t))"
RIGHT = "0.10*sin(2*PI*277*t)+0.08*sin(2*PI*415*t)+0.06*sin(2*PI*(554+2*sin(3*t))*t)+0.06*sin(2*PI*1760*t)*(0.5+0.5*sin(6*PI*t))"
SRT = "1\n00:00:00,500 --> 00:00:02,000\nThe quick\n\n2\n00:00:02,500 --> 00:00:04,500\nbrown fox\n"


def read(path):
    """Rate, and the samples of each channel."""
    stream, = probe(path)["streams"]
    assert stream["codec_name"] == "pcm_s16le"
    samples = array.array("h", subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-i", f"file:{path}", "-f", "s16le", "-"], check=True, capture_output=True).stdout)
    return int(stream["sample_rate"]), [samples[n::stream["channels"]] for n in range(stream["channels"])]


def dot(a, b):
    return sum(map(operator.mul, a, b))


def level(samples):
    """dBFS."""
    return 10 * math.log10(dot(samples, samples) / len(samples) / 32768 ** 2 + 1e-12)


def ratio(samples, voice):
    """The voice in it against all that is not the voice, moments that it is late included, in dB; and how much of the voice there is."""
    gain = dot(samples, voice) / dot(voice, voice)
    speaks = gain * gain * dot(voice, voice)
    return 10 * math.log10(speaks / max(dot(samples, samples) - speaks, 1e-9) + 1e-12), gain


def pauses(voice, step=RATE // 10):
    return [at for at in range(0, len(voice) - step, step) if max(map(abs, voice[at:at + step])) < 30]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Speech in the middle of wide music, and what is made of it."""
    d = tmp_path_factory.mktemp("sound")
    if shutil.which("espeak-ng"):
        subprocess.run(["espeak-ng", "-w", d / "words.wav", WORDS], check=True)
    else:
        ffmpeg("-f", "lavfi", "-i", f"flite=text='{WORDS}'", d / "words.wav")
    ffmpeg("-i", d / "words.wav", "-ar", str(RATE), "-ac", "1", "-af", f"volume=0.7,apad,atrim=0:{SECONDS}", d / "voice.wav")
    ffmpeg("-filter_complex", f"aevalsrc='{LEFT}|{RIGHT}':s={RATE}:d={SECONDS}[tones];"
           f"anoisesrc=c=pink:a=0.05:seed=1:r={RATE}:d={SECONDS}[l];anoisesrc=c=pink:a=0.05:seed=2:r={RATE}:d={SECONDS}[r];"
           "[l][r]join=inputs=2:channel_layout=stereo[hiss];[tones][hiss]amix=normalize=0[music]", "-map", "[music]", "-t", str(SECONDS), d / "music.wav")
    ffmpeg("-i", d / "voice.wav", "-i", d / "music.wav", "-filter_complex", "[0]pan=stereo|c0=c0|c1=c0[v];[v][1]amix=normalize=0", d / "mix.wav")
    ffmpeg("-i", d / "mix.wav", "-ac", "1", d / "mono.wav")
    ffmpeg("-i", d / "mix.wav", "-t", "2", d / "short.wav")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10", "-i", d / "mix.wav", "-t", str(SECONDS), "-c:v", "libx264", "-preset", "ultrafast",
           "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "192k", d / "talk.mp4")
    ffmpeg("-i", d / "talk.mp4", "-an", "-c", "copy", d / "silent.mp4")
    (d / "empty.wav").write_bytes(b"")
    (d / "notes.txt").write_text("no sound at all\n" * 50)
    whole = (d / "talk.mp4").read_bytes()
    (d / "cut.mp4").write_bytes(whole[:len(whole) // 2])
    for name, rate in (("zero.wav", RATE), ("zero96.wav", 96000)):
        with wave.open(str(d / name), "wb") as file:
            file.setparams((2, 2, rate, 0, "NONE", ""))
    return d


@pytest.fixture
def run(tmp_path):
    def go(config=None, env=(), **paths):
        given = {name: str(path) for name, path in paths.items()}
        return Run(tmp_path, NODE, {**given, **({CONFIG: config} if config is not None else {})}, **dict(env))
    return go


def stems(out):
    vocals, rest = out["all_audio_files"]
    assert out["vocal_audio"] == vocals
    return read(vocals), read(rest)


# ---- what the stems are worth


@pytest.mark.parametrize("mode", MODES)
def test_the_voice_stands_out_in_one_stem_and_is_gone_from_the_other(run, sound, tmp_path, mode):
    out = run({"quality_mode": mode}, audio_path=sound / "mix.wav").output()
    home = f"{tmp_path}/task/audio_separated/"
    assert out == {"all_audio_files": [home + "mix_(Vocals).wav", home + "mix_(Instrumental).wav"], "vocal_audio": home + "mix_(Vocals).wav",
                   "model_used": MODES[mode], "quality_mode": mode}
    (rate, vocals), (_, rest) = stems(out)
    _, mix = read(sound / "mix.wav")
    _, (voice,) = read(sound / "voice.wav")
    _, music = read(sound / "music.wav")
    assert rate == RATE and len(vocals) == len(rest) == 2
    assert {len(channel) for channel in (*vocals, *rest)} == {len(mix[0])}
    assert vocals[0] == vocals[1]
    for channel in (0, 1):
        before = ratio(mix[channel], voice)[0]
        good, kept = ratio(vocals[channel], voice)
        bad, left = ratio(rest[channel], voice)
        print(f"{mode} channel {channel}: voice to music {before:.1f} dB in the mix, {good:.1f} dB in the vocals, {bad:.1f} dB in the instrumental")
        assert good > before + (9 if mode == "fast" else 11) and kept > 0.8, (before, good, kept)
        assert bad < before - (12 if mode == "fast" else 18) and abs(left) < 0.2, (before, bad, left)
        assert ratio(rest[channel], music[channel])[1] > 0.8  # and the music is still there
        assert max(abs(a + b - c) for a, b, c in zip(vocals[channel], rest[channel], mix[channel])) <= 2


def test_better_modes_are_better_and_the_same_again_is_the_same(run, sound):
    _, (voice,) = read(sound / "voice.wav")
    best = []
    for mode in MODES:
        out = run({"quality_mode": mode}, audio_path=sound / "mix.wav").output()
        once = [open(path, "rb").read() for path in out["all_audio_files"]]
        best.append(ratio(stems(out)[0][1][0], voice)[0])
        out = run({"quality_mode": mode}, audio_path=sound / "mix.wav").output()
        assert once == [open(path, "rb").read() for path in out["all_audio_files"]], mode
    assert best == sorted(best) and best[1] > best[0] + 0.5 and best[2] > best[1] + 0.2, best


def test_optimized_vocals_are_quieter_between_the_words(run, sound, tmp_path):
    ffmpeg("-i", sound / "voice.wav", "-i", sound / "music.wav", "-filter_complex",
           "[0]pan=stereo|c0=c0|c1=c0[v];[1]volume=0.3[m];[v][m]amix=normalize=0", tmp_path / "soft.wav")
    _, (voice,) = read(sound / "voice.wav")
    quiet, rests, names = [], [], []
    for config in ({"use_vocal_optimization": False, "vocal_optimization_level": "strong"}, *(
            {"use_vocal_optimization": True, "vocal_optimization_level": name} for name in ("light", "medium", "strong"))):
        out = run(config, audio_path=tmp_path / "soft.wav").output()
        (_, vocals), (_, rest) = stems(out)
        between = array.array("h")
        for at in pauses(voice)[1:]:  # the gate needs a moment to close
            between.extend(vocals[0][at:at + RATE // 10])
        quiet.append(level(between))
        rests.append(rest)
        names.append(out["model_used"])
        assert ratio(vocals[0], voice)[1] > 0.85
    assert names == [MODES["default"], *(f"{MODES['default']}-agate-{name}" for name in ("light", "medium", "strong"))]
    assert quiet[0] - 1 > quiet[1] > quiet[2] + 1 > quiet[3] + 3 and quiet[3] < quiet[0] - 6, quiet
    assert rests[0] == rests[1] == rests[2] == rests[3]
    default = run({"use_vocal_optimization": True}, audio_path=tmp_path / "soft.wav").output()
    assert default["model_used"] == names[2]


@pytest.mark.parametrize("rate", [8000, 16000, 48000, 96000, 192000])
@pytest.mark.parametrize("mode", MODES)
def test_the_sample_rate_is_kept(run, sound, tmp_path, rate, mode):
    ffmpeg("-i", sound / "short.wav", "-ar", str(rate), tmp_path / "in.wav")
    ffmpeg("-i", sound / "voice.wav", "-t", "2", "-ar", str(rate), tmp_path / "said.wav")
    out = run({"quality_mode": mode}, audio_path=tmp_path / "in.wav").output()
    (got, vocals), (_, rest) = stems(out)
    _, mix = read(tmp_path / "in.wav")
    _, (voice,) = read(tmp_path / "said.wav")
    assert got == rate and {len(channel) for channel in (*vocals, *rest)} == {len(mix[0])}
    assert ratio(vocals[0], voice)[0] > ratio(mix[0], voice)[0] + 6
    assert abs(ratio(rest[0], voice)[1]) < 0.3  # an instrumental that came late would still hold the voice


# ---- one channel


@pytest.mark.parametrize("mode,model", [("fast", "ffmpeg-highpass-lowpass-speech-band"), ("default", "ffmpeg-afftfilt-speech-band-4096"),
                                        ("high_quality", "ffmpeg-afftfilt-speech-band-4096+8192")])
def test_one_channel_is_split_by_the_band_of_speech(run, sound, tmp_path, mode, model):
    tones = [60, 10000]
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='" + "+".join(f"0.2*sin(2*PI*{tone}*t)" for tone in tones) + f"':s={RATE}:d={SECONDS}",
           "-i", sound / "voice.wav", "-filter_complex", "amix=normalize=0", tmp_path / "in.wav")
    out = run({"quality_mode": mode}, audio_path=tmp_path / "in.wav").output()
    assert out["model_used"] == model
    (rate, (vocals,)), (_, (rest,)) = stems(out)
    _, (mix,) = read(tmp_path / "in.wav")
    _, (voice,) = read(sound / "voice.wav")
    assert rate == RATE and len(vocals) == len(rest) == len(mix)
    assert max(abs(a + b - c) for a, b, c in zip(vocals, rest, mix)) <= 2
    for tone in tones:
        wave_ = array.array("d", (math.sin(2 * math.pi * tone * n / RATE) for n in range(len(mix))))
        here, there = (abs(dot(stem, wave_)) for stem in (vocals, rest))
        assert there > here * (2 if mode == "fast" else 30), (tone, here, there)
    assert ratio(vocals, voice)[0] > ratio(mix, voice)[0] + (3 if mode == "fast" else 6)
    assert ratio(vocals, voice)[1] > 0.5 > abs(ratio(rest, voice)[1])


def test_a_band_may_be_asked_of_two_channels_and_no_centre_of_one(run, sound):
    out = run({"model_name": "ffmpeg-speech-band", "model_type": "ffmpeg"}, audio_path=sound / "mix.wav").output()
    (_, vocals), (_, rest) = stems(out)
    _, mix = read(sound / "mix.wav")
    assert out["model_used"] == "ffmpeg-afftfilt-speech-band-4096" and len(vocals) == len(rest) == 2
    assert max(abs(a + b - c) for a, b, c in zip(vocals[1], rest[1], mix[1])) <= 2
    assert run({"model_name": "ffmpeg-centre"}, audio_path=sound / "mix.wav").output()["model_used"] == MODES["default"]
    error = run({"model_name": "ffmpeg-centre"}, audio_path=sound / "mono.wav").error()
    assert (error["code"], error["field"]) == ("UNSUPPORTED", f"{CONFIG}.model_name") and "ffmpeg-speech-band" in error["message"]


# ---- videos and many channels


def test_a_video_has_its_own_sound_separated(run, sound):
    out = run(video_path=sound / "talk.mp4").output()
    assert out["vocal_audio"].endswith("/audio_separated/talk_(Vocals).wav")
    (rate, vocals), (_, rest) = stems(out)
    _, (voice,) = read(sound / "voice.wav")
    assert rate == RATE and abs(len(vocals[0]) / rate - SECONDS) < 0.1
    n = min(len(voice), len(vocals[0]))
    assert ratio(vocals[0][:n], voice[:n])[0] > 8 and ratio(rest[0][:n], voice[:n])[0] < -15


def test_a_video_that_is_given_is_preferred_to_sound_that_may_be_another_stage_s(run, sound):
    out = run(video_path=sound / "talk.mp4", audio_path=sound / "mono.wav").output()
    assert out["vocal_audio"].endswith("/talk_(Vocals).wav") and out["model_used"] == MODES["default"]


def test_more_than_two_channels_are_mixed_down_to_two(run, sound, tmp_path):
    ffmpeg("-i", sound / "voice.wav", "-i", sound / "music.wav", "-t", "2", "-filter_complex",
           "[0][1]amerge=inputs=2,pan=5.1|FL=c0|FR=c1|FC=c2|LFE=0*c0|BL=0.3*c0|BR=0.3*c1", "-c:a", "flac", tmp_path / "cinema.flac")
    out = run(audio_path=tmp_path / "cinema.flac").output()
    (rate, vocals), (_, rest) = stems(out)
    _, (voice,) = read(sound / "voice.wav")
    voice = voice[:len(vocals[0])]
    assert rate == RATE and len(vocals) == len(rest) == 2 and len(vocals[0]) == 2 * RATE
    assert ratio(vocals[0], voice)[0] > ratio(rest[0], voice)[0] + 20


@pytest.mark.parametrize("name", ["两个 词.wav", "-leading.wav", "it's \"quoted\".wav", "100%d.wav", "[0:a];x.wav", "no_extension", "é" * 125 + ".au"])
def test_odd_file_names(run, sound, tmp_path, name):
    ffmpeg("-i", sound / "short.wav", "-t", "0.3", "-f", "au" if name.endswith("au") else "wav", f"file:{tmp_path}/{name}")
    out = run(audio_path=tmp_path / name).output()
    assert stems(out)[0][0] == RATE
    if len(name.encode()) < 200:
        assert os.path.basename(out["vocal_audio"]) == (name.rpartition(".")[0] or name) + "_(Vocals).wav"


@pytest.mark.parametrize("samples", [1, 100, 3000])
def test_hardly_any_sound_is_sound(run, tmp_path, samples):
    with wave.open(str(tmp_path / "bit.wav"), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(b"\1\2\1\2" * samples)
    for mode in MODES:
        (_, vocals), (_, rest) = stems(run({"quality_mode": mode}, audio_path=tmp_path / "bit.wav").output())
        assert {len(channel) for channel in (*vocals, *rest)} == {samples}, mode


# ---- refusals


@pytest.mark.parametrize("config,code,field,says", [
    ({"quality_mode": "best"}, "INVALID", ".quality_mode", "default, high_quality or fast"),
    ({"quality_mode": 1}, "INVALID", ".quality_mode", "text"),
    ({"quality_mode": ""}, "INVALID", ".quality_mode", "text"),
    ({"use_vocal_optimization": "yes"}, "INVALID", ".use_vocal_optimization", "true or false"),
    ({"vocal_optimization_level": "extreme"}, "INVALID", ".vocal_optimization_level", "light, medium or strong"),
    ({"use_vocal_optimization": True, "vocal_optimization_level": 3}, "INVALID", ".vocal_optimization_level", "text"),
    ({"model_name": "UVR-MDX-NET-Inst_HQ_5.onnx"}, "UNSUPPORTED", ".model_name", "ffmpeg-centre, ffmpeg-speech-band"),
    ({"model_name": ["htdemucs"]}, "INVALID", ".model_name", "text"),
    ({"model_type": "demucs"}, "UNSUPPORTED", ".model_type", "what runs: ffmpeg"),
    ({"quality": "fast"}, "INVALID", ".quality", "no member quality"),
    ({"quality_mode": "fast", "模" * 40: 1}, "INVALID", ".模模模模模模模模模模模模模", "no member 模模"),
    ({1: 2}, "INVALID", "", "texts"),
])
def test_what_is_wrong_in_the_configuration_is_named(run, sound, config, code, field, says):
    error = run(config, audio_path=sound / "short.wav").error()
    assert error["code"] == code and says in error["message"], error
    assert error["field"].rstrip("?") == CONFIG + field, error


@pytest.mark.parametrize("config", [{}, {"quality_mode": None, "model_name": None, "use_vocal_optimization": None}])
def test_nothing_said_is_the_default(run, sound, config):
    out = run(config, audio_path=sound / "short.wav").output()
    assert (out["quality_mode"], out["model_used"]) == ("default", MODES["default"])


def test_neither_sound_nor_video(run):
    error = run().error()
    assert (error["code"], error["field"]) == ("INVALID", "audio_path") and "video_path" in error["message"]


@pytest.mark.parametrize("field", ["audio_path", "video_path"])
@pytest.mark.parametrize("file,code,says", [
    ("empty.wav", "INVALID", "empty"), ("notes.txt", "FAILED", "ffprobe"), ("cut.mp4", "FAILED", "ffprobe"),
    ("silent.mp4", "FAILED", "no audio stream"), ("zero.wav", "FAILED", "no sound"), ("zero96.wav", "FAILED", "no sound"), ("missing.wav", "NOT_FOUND", "missing.wav")])
def test_bad_files(run, sound, field, file, code, says):
    error = run(**{field: sound / file}).error()
    assert (error["code"], error["field"]) == (code, field) and says in error["message"], error


@pytest.mark.parametrize("words,code", [
    ("echo out.wav: No space left on device >&2; exit 1", "UNAVAILABLE"), ("kill -9 $$", "UNAVAILABLE"),
    ("echo bad data >&2; exit 183", "FAILED"), ("exit 0", "FAILED")])
def test_what_may_go_better_the_next_time_is_unavailable(run, sound, tmp_path, words, code):
    script = tmp_path / "ffmpeg"
    script.write_text(f"#!/bin/sh\n{words}\n")
    script.chmod(0o755)
    assert run(audio_path=sound / "short.wav", env={"GANTRY_FFMPEG": str(script)}).error()["code"] == code


# ---- through the whole system


@pytest.fixture(scope="module")
def town(sound):
    with System("separate", workers=2, worker_slots=1, worker_services="ffmpeg,audio_separator") as system:
        folder = system.folder + "/in/"
        for name in ("talk.mp4", "mix.wav", "short.wav"):
            shutil.copy(sound / name, folder)
        ffmpeg("-stream_loop", "40", "-i", sound / "mix.wav", "-c", "copy", folder + "long.wav")
        open(folder + "said.srt", "w").write(SRT)
        client = system.client()
        client.ready(NODE, AUDIO, SPLIT)
        yield system, client, folder


def clean(system):
    until(lambda: not [line for line in processes_in(system.folder).values()
                       if os.path.basename(line.split(" ")[0]) in ("gantry-exec", "gantry-engine", "ffmpeg", "ffprobe")], 10)
    until(lambda: not [name for where, folders, files in os.walk(system.folder + "/share") if "/tmp" in where for name in folders + files], 5)
    system.settle()
    system.check()


def test_sound_that_is_given(town):
    system, client, folder = town
    stage = client.run("given", NODE, audio_path=folder + "mix.wav", audio_separator_config={"quality_mode": "fast"})
    assert stage["state"] == "completed", stage
    home = system.folder + "/share/given/audio_separated/"
    assert stage["output"]["all_audio_files"] == [home + "mix_(Vocals).wav", home + "mix_(Instrumental).wav"]
    assert sorted(os.listdir(home)) == ["mix_(Instrumental).wav", "mix_(Vocals).wav"]
    assert client.submit(client.task("given", NODE, audio_path=folder + "mix.wav"))[0]["reuse"] == "hit"
    clean(system)


def test_a_wrong_configuration_fails_the_stage_by_its_name(town):
    system, client, folder = town
    stage = client.run("wrong", NODE, audio_path=folder + "mix.wav", audio_separator_config={"quality_mode": "best"})
    assert (stage["state"], stage["failures"], stage["error"]["code"]) == ("failed", 1, "INVALID"), stage
    assert stage["error"]["field"] == "audio_separator_config.quality_mode"
    stage = client.run("nothing", NODE)
    assert (stage["state"], stage["error"]["code"]) == ("failed", "INVALID"), stage
    assert stage["error"]["field"].removeprefix("input.") == "audio_path"
    clean(system)


def test_a_chain_needs_no_paths(town):
    """The sound that another stage made stands in; what is given is preferred; cutting takes the vocals rather than the sound."""
    system, client, folder = town
    assert client.run("chain", AUDIO, video_path=folder + "talk.mp4")["state"] == "completed"
    stage = client.run("chain", NODE)
    assert stage["state"] == "completed", stage
    home = system.folder + "/share/chain/"
    vocals = home + "audio_separated/talk_(Vocals).wav"
    assert (stage["output"]["vocal_audio"], stage["output"]["model_used"]) == (vocals, "ffmpeg-afftfilt-speech-band-2048")
    assert read(vocals)[0] == 16000 and "audio_path" not in (stage.get("input") or {})
    cut = client.run("chain", SPLIT, subtitle_path=folder + "said.srt")
    assert (cut["state"], cut["output"]["audio_source"], cut["output"]["segments_count"]) == ("completed", vocals, 2), cut

    record = client.record("chain")
    assert {name: stage["state"] for name, stage in record["stages"].items()} == dict.fromkeys((AUDIO, NODE, SPLIT), "completed")
    assert client.run("other", AUDIO, video_path=folder + "talk.mp4")["state"] == "completed"
    stage = client.run("other", NODE, audio_path=folder + "short.wav")
    assert stage["output"]["vocal_audio"].endswith("/short_(Vocals).wav"), stage
    stage = client.run("video", NODE, video_path=folder + "talk.mp4")
    assert stage["output"]["model_used"] == MODES["default"], stage
    clean(system)


def test_cancelled_it_leaves_nothing(town):
    system, client, folder = town
    client.submit(client.task("cancelled", NODE, audio_path=folder + "long.wav", audio_separator_config={"quality_mode": "high_quality"}))
    until(lambda: client.stage("cancelled", NODE).get("progress", 0) > 0.01, 20)
    began = time.monotonic()
    assert client.insist("CANCEL", {"id": "cancelled", "task": NODE}).status == 0
    after = client.wait(("cancelled", NODE))[0]["stages"][NODE]
    assert (after["state"], after["attempt"]) == ("cancelled", 1) and time.monotonic() - began < 5, after
    assert not os.path.exists(system.folder + "/share/cancelled/audio_separated")
    clean(system)
