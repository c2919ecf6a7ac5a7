"""The transport is readied where the user has not chosen one, and says in one line what was done."""

import ctypes
import xml.etree.ElementTree as ElementTree

import pytest
from stand_ins import raising

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.installed_files import shared_file
from metric3d_ros.nodes.transport import large_messages
from metric3d_ros.nodes.transport.large_messages import (
    PROFILE_VARIABLES,
    TransportReport,
    choose_segment_mib,
    give_back_memory,
    prepare_for_large_messages,
    read_variables,
)

FAST_DDS = "rmw_fastrtps_cpp"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def roomy_shared_memory(monkeypatch, tmp_path):
    """As if /dev/shm had plenty of room, wherever the tests run."""
    monkeypatch.setattr(large_messages, "_SHARED_MEMORY_FOLDER", tmp_path)
    set_free(monkeypatch, 4096)


def set_free(monkeypatch, mib):
    usage = type("Usage", (), {"free": mib * MIB})
    monkeypatch.setattr(large_messages.shutil, "disk_usage", lambda _: usage)


def segment_size(path):
    return int(ElementTree.parse(path).find(".//{*}segment_size").text)


def prepare(environment, **options):
    return prepare_for_large_messages(
        rmw_implementation=options.pop("rmw", FAST_DDS), environment=environment, keep_buffers=False, **options
    )


@pytest.mark.parametrize(
    ("wanted_mib", "free_mib", "chosen_mib"),
    [(64, 4096, 64), (64, 128, 64), (64, 127, 63), (64, 64, 32), (64, 4, 2), (64, 3, None), (64, 0, None)],
)
def test_segment_takes_at_most_half_of_the_free_shared_memory(wanted_mib, free_mib, chosen_mib):
    assert choose_segment_mib(wanted_mib, free_bytes=free_mib * MIB) == chosen_mib


def test_shipped_profile_is_used_where_nothing_is_chosen():
    environment = {}
    report = prepare(environment)
    path = str(shared_file("config/fastdds.xml"))
    assert environment == dict.fromkeys(PROFILE_VARIABLES, path)
    assert not report.is_warning
    assert "64 MiB" in report.text
    assert path in report.text
    assert "\n" not in report.text


@pytest.mark.parametrize("variable", [*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_users_own_choice_is_left_alone(variable):
    environment = {variable: "mine"}
    assert variable in prepare(environment).text
    assert environment == {variable: "mine"}


def test_profile_in_the_working_folder_is_the_users_choice(tmp_path, monkeypatch):
    (tmp_path / "DEFAULT_FASTRTPS_PROFILES.xml").write_text("<dds/>")
    monkeypatch.chdir(tmp_path)
    environment = {}
    assert "DEFAULT_FASTRTPS_PROFILES.xml" in prepare(environment).text
    assert environment == {}
    environment = {"SKIP_DEFAULT_XML_FILE": "1"}  # Fast DDS then does not look there either
    prepare(environment)
    assert PROFILE_VARIABLES[0] in environment


@pytest.mark.parametrize("rmw", ["rmw_cyclonedds_cpp", "rmw_zenoh_cpp", "rmw_connextdds"])
def test_other_middlewares_are_left_alone(rmw):
    environment = {}
    assert rmw in prepare(environment, rmw=rmw).text
    assert environment == {}


@pytest.mark.parametrize("switch", [{"shared_memory_mib": 0}, {"variable": "0"}])
def test_fast_dds_is_left_alone_on_request(switch):
    environment = {"METRIC3D_SHARED_MEMORY_MIB": switch.pop("variable")} if "variable" in switch else {}
    before = dict(environment)
    assert "left as it is" in prepare(environment, **switch).text
    assert environment == before


@pytest.mark.parametrize("source", ["option", "variable"])
def test_other_size_goes_into_a_profile_of_its_own(source):
    environment = {"METRIC3D_SHARED_MEMORY_MIB": "200"} if source == "variable" else {}
    prepare(environment, **({"shared_memory_mib": 200} if source == "option" else {}))
    path = environment[PROFILE_VARIABLES[0]]
    assert segment_size(path) == 200 * MIB
    shipped = shared_file("config/fastdds.xml")
    assert segment_size(shipped) == 64 * MIB
    tags = [[element.tag for element in ElementTree.parse(p).iter()] for p in (path, shipped)]
    assert tags[0] == tags[1], "all but the size is as shipped"


def test_small_shared_memory_such_as_dockers_gets_a_smaller_segment_and_a_warning(monkeypatch):
    set_free(monkeypatch, 64)
    environment = {}
    report = prepare(environment)
    assert report.is_warning
    assert "32 of 64 MiB" in report.text
    assert "--shm-size" in report.text
    assert segment_size(environment[PROFILE_VARIABLES[0]]) == 32 * MIB


def test_full_shared_memory_leaves_fast_dds_as_it_is_with_a_warning(monkeypatch):
    set_free(monkeypatch, 1)
    environment = {}
    report = prepare(environment)
    assert report.is_warning
    assert "only 1 MiB free" in report.text
    assert environment == {}


def test_negative_size_is_refused():
    with pytest.raises(ConfigurationError, match="shared memory is -5 MiB, expected 0"):
        prepare({}, shared_memory_mib=-5)


@pytest.mark.parametrize("text", ["lots", "-1", "1.5"])
def test_variable_without_a_number_is_refused(text):
    with pytest.raises(ConfigurationError, match="METRIC3D_SHARED_MEMORY_MIB"):
        prepare({"METRIC3D_SHARED_MEMORY_MIB": text})


@pytest.mark.parametrize(("keep", "variable"), [(None, None), (True, "0"), (False, None), (None, "0")])
def test_allocator_is_set_unless_switched_off(monkeypatch, keep, variable):
    calls = []
    libc = type("Libc", (), {"mallopt": staticmethod(lambda *arguments: calls.append(arguments) or 1)})
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    environment = {} if variable is None else {"METRIC3D_KEEP_BUFFERS": variable}
    report = prepare_for_large_messages(rmw_implementation="other", keep_buffers=keep, environment=environment)
    wanted = keep if keep is not None else variable != "0"
    assert calls == ([(-3, 1 << 30), (-1, 2**31 - 1)] if wanted else [])
    assert ("freed buffers are kept" in report.text) == wanted


@pytest.mark.parametrize(
    ("packages", "variables"),
    [
        (["fastrtps"], PROFILE_VARIABLES),
        (["fastdds"], PROFILE_VARIABLES[1:]),
        (["fastrtps", "fastdds"], PROFILE_VARIABLES),
        ([], PROFILE_VARIABLES),
    ],
)
def test_the_variable_of_the_installed_fast_dds_is_set(tmp_path, packages, variables):
    for package in packages:
        (tmp_path / package).mkdir()
    assert read_variables(tmp_path) == variables
    assert read_variables(None) == PROFILE_VARIABLES


def test_machine_without_glibc_is_said_to_be_one(monkeypatch):
    def missing(_):
        raise OSError("libc.so.6: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    report = prepare_for_large_messages(rmw_implementation="other", keep_buffers=True, environment={})
    assert "no glibc" in report.text


def test_a_folder_of_shared_memory_that_cannot_be_written_leaves_fast_dds_as_it_is_with_a_warning(monkeypatch):
    monkeypatch.setattr(large_messages.tempfile, "mkstemp", raising(PermissionError(13, "Permission denied")))
    environment = {}
    report = prepare(environment, shared_memory_mib=200)
    assert report.is_warning
    assert "cannot be written (Permission denied)" in report.text
    assert environment == {}


def test_a_profile_of_its_own_goes_once_it_was_read(tmp_path):
    environment = {}
    report = prepare(environment, shared_memory_mib=200)
    assert str(report.profile) == environment[PROFILE_VARIABLES[0]]
    assert report.profile.is_file()
    report.forget_profile()
    assert not report.profile.exists()
    report.forget_profile()
    TransportReport("nothing was written").forget_profile()


def test_something_else_that_was_left_out_makes_a_report_a_warning():
    report = TransportReport("transport: as it is").with_warning("no log files")
    assert report == TransportReport("transport: as it is; no log files", is_warning=True)


def test_memory_is_given_back_if_there_is_glibc(monkeypatch):
    trimmed = []
    libc = type("Libc", (), {"malloc_trim": staticmethod(trimmed.append)})
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    give_back_memory()
    assert trimmed == [0]

    def missing(_):
        raise OSError("libc.so.6: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    give_back_memory()
    assert trimmed == [0]
