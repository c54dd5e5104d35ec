from pathlib import Path

from benchmarks.janus import configuration

FOLDER, LIBRARIES = Path("/somewhere/of/ours"), Path("/usr/lib/janus")


def test_as_shipped_nothing_is_said_of_event_loops():
    files = configuration(FOLDER, 0, LIBRARIES)
    assert "event_loops" not in files["janus.jcfg"]
    assert "ice_lite = true" in files["janus.jcfg"]
    assert 'configs_folder = "/somewhere/of/ours"' in files["janus.jcfg"]
    assert 'plugins_folder = "/usr/lib/janus/plugins"' in files["janus.jcfg"]


def test_tuned_it_has_so_many_event_loops_and_nothing_else_differs():
    shipped, tuned = configuration(FOLDER, 0, LIBRARIES), configuration(FOLDER, 2, LIBRARIES)
    lines = [line for line in tuned["janus.jcfg"].splitlines() if "event_loops" not in line]
    assert lines == shipped["janus.jcfg"].splitlines()
    assert "  event_loops = 2" in tuned["janus.jcfg"].splitlines()
    assert {name: text for name, text in tuned.items() if name != "janus.jcfg"} == {
        name: text for name, text in shipped.items() if name != "janus.jcfg"
    }


def test_the_streaming_plugin_stays_and_takes_one_picture():
    files = configuration(FOLDER, 0, LIBRARIES)
    assert "libjanus_streaming" not in files["janus.jcfg"]
    assert "libjanus_http" not in files["janus.jcfg"]
    assert "libjanus_videoroom.so" in files["janus.jcfg"]
    mountpoint = files["janus.plugin.streaming.jcfg"]
    assert 'videocodec = "vp8"' in mountpoint
    assert "audio = false" in mountpoint
