"""The `metric3d` command around its verbs; what each verb does is tested beside the verb."""

import importlib

import pytest

from metric3d_ros.cli import VERBS, main


@pytest.mark.parametrize("verb", VERBS)
def test_an_interrupt_while_a_verb_is_imported_is_one_line(monkeypatch, capsys, verb):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupt)
    assert main([verb]) == 130
    assert capsys.readouterr().err == f"metric3d {verb}: interrupted\n"


def test_a_verb_that_does_not_exist_is_refused_with_those_that_do(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["paint"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "'paint'" in said
    assert all(f"'{verb}'" in said for verb in VERBS)


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def no_memory(_):
        raise MemoryError

    monkeypatch.setattr(importlib, "import_module", no_memory)
    assert main(["info"]) == 1
    assert (
        capsys.readouterr().err
        == "metric3d info: out of memory (MemoryError): use smaller images or a computer with more memory\n"
    )
