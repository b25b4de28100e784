"""scripts/train_slim.py and its parts, with a narrow random teacher, random pictures and a clock of its own."""

import dataclasses
import itertools
import os
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import NARROW, random_filters, smooth_picture, usual_objective

from nst_jax import layers
from nst_jax.choices import flag
from nst_jax.errors import NSTError
from nst_jax.losses.objective import Objective
from nst_jax.networks import vgg, weights_file
from nst_jax.networks.weights import TORCHVISION, Weights
from nst_jax.pictures import images
from nst_jax.runs.machine import here

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.append(str(SCRIPTS))

from slim_training import bank, command, lbfgs, learning, lesson, renewals, revival, run, student, teacher  # noqa: E402
from slim_training.checkpoints import Checkpoints, Progress  # noqa: E402
from slim_training.options import Options  # noqa: E402
from slim_training.pictures import KINDS, TAUGHT, Pictures  # noqa: E402
from slim_training.renewals import STYLE_WEIGHTS, Renewal, Renewals  # noqa: E402

SIZE, BATCH = 32, 2
STATIC = {"learner": "adam", "average": 0.9, "pushes": 1}
STEP = jax.jit(lbfgs.step)
SCALES = {tap: 2.0 + i for i, tap in enumerate(student.TAPS)}


@pytest.fixture
def narrow_teacher(narrow_vgg, monkeypatch):
    """VGG-19 with 4 to 7 filters a layer, and a slim of six convolutions that stands for it; gives the teacher's."""
    rows, inputs = [], 3
    for row in layers.NETWORKS["slim"]:
        if row.kind == "pool" or row.name in student.TAPS:
            channels = inputs if row.kind == "pool" else 8
            rows.append(
                dataclasses.replace(row, inputs=inputs, channels=channels, stands_for=NARROW.get(row.stands_for, 0))
            )
            inputs = channels
    monkeypatch.setitem(layers.NETWORKS, "slim", tuple(rows))
    return random_filters("vgg19")


@pytest.fixture
def data(tmp_path, narrow_teacher, monkeypatch):
    """A data folder with two pictures of each kind to train on; the filters are in the user's weights folder."""
    monkeypatch.setenv(weights_file.FOLDER_VARIABLE, str(tmp_path / "weights"))
    weights_file.save_weights(weights_file.weights_path("vgg19"), narrow_teacher)
    names = {"train": ("a", "b")} | {kind: TAUGHT[kind][:2] for kind in ("content", "style")}
    for seed, (kind, index) in enumerate(itertools.product(KINDS, range(2))):
        path = tmp_path / "data" / "images" / kind / f"{names[kind][index]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.save_image(path, smooth_picture(40, 48, seed))
    return tmp_path / "data"


@pytest.fixture
def options(data, tmp_path):
    """A run of six iterations by ``ticking``'s clock."""
    return Options(
        data=data, out=tmp_path / "out", minutes=4.9 / 60, size=SIZE, batch=BATCH, bank=8, pushes=1, average=0.9,
        mean_age=4, log_every=3,
    )  # fmt: skip


@pytest.fixture
def tutor(data):
    """The narrow teacher."""
    return teacher.Teacher(teacher.read_filters(data))


def batch_of_images(*seeds):
    return np.stack([smooth_picture(SIZE, SIZE, seed) for seed in seeds])


def rows_of_a_batch():
    """Two pictures that are a mixture of others, as the bank's rows."""
    photographs, paintings = batch_of_images(0, 1), batch_of_images(2, 3)
    rows = {name: np.zeros((BATCH, SIZE, SIZE, 3), "f4") for name in ("last_x", "gradient")}
    rows |= {name: np.zeros((BATCH, lbfgs.MEMORY, SIZE, SIZE, 3), "f4") for name in ("steps", "changes")}
    rows |= {"x": (photographs + paintings) / 2, "content": photographs, "style": paintings}
    rows |= {"age": np.zeros(BATCH, np.int32), "style_weights": np.tile(STYLE_WEIGHTS, (BATCH, 1))}
    return rows | {"content_weight": np.array([0.001, 0.01], "f4"), "tv_weight": np.array([0, 0.3], "f4")}


def ticking():
    """A clock of its own for ``run.train``: an iteration takes a second by it, and the first is not counted."""
    return itertools.count().__next__


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_an_exported_file_is_the_student(tmp_path, narrow_teacher):
    """nst_jax's responses and maps are the student's, and --init-from gives its parameters, to float16."""
    params = student.random_start(3)
    student.export(tmp_path / "slim.h5", params, SCALES, {"trained_by": "a test"})
    held = weights_file.load_weights(tmp_path / "slim.h5", "slim")
    assert held.metadata["trained_by"] == "a test"
    again = student.from_file(tmp_path / "slim.h5", SCALES)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    for ours, theirs in zip(leaves(again), leaves(params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    net = vgg.network(held, "max", student.PADDING, lowering=here().lowering)
    seen = jnp.asarray(batch_of_images(0, 1))
    responses, mapped = (jax.jit(f, static_argnums=2)(net, seen, student.TAPS) for f in (vgg.responses, vgg.features))
    features = jax.jit(student.features, static_argnums=2)(again, seen, "max")
    for tap, response in responses.items():
        np.testing.assert_allclose(features[tap], response, rtol=1e-5)
        np.testing.assert_allclose(features[tap] @ again["maps"][tap] * SCALES[tap], mapped[tap], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_the_loss_is_that_of_the_library(narrow_teacher, pooling):
    """Each picture's loss is the default preset's objective, by an exported student's maps."""
    params = student.random_start(0)
    # of 64 pixels, so that every layer has more positions than filters
    rows = {name: jnp.asarray(np.kron(array, np.ones((2, 2, 1)))) if array.ndim == 4 else jnp.asarray(array)
            for name, array in rows_of_a_batch().items()}  # fmt: skip

    @jax.jit
    def loss_of_the_student(params, rows):
        taps, goals = student.features(params, rows["x"], pooling), student.goals(params, rows, SCALES, pooling)
        return student.stylisation_loss(params, taps, goals, SCALES)

    ours = loss_of_the_student(params, rows)
    arrays = {name: dict(parts) for name, parts in params["net"].items()}
    for tap, matrix in params["maps"].items():
        arrays[tap]["map"] = matrix * SCALES[tap]
    net = vgg.network(Weights("slim", arrays, TORCHVISION), pooling, student.PADDING)
    for i in range(BATCH):
        goal = usual_objective(
            net, rows["content"][i], [rows["style"][i]],
            content_layers={student.CONTENT_TAP: 1.0},
            style_layers=dict(zip(student.STYLE_TAPS, STYLE_WEIGHTS.tolist(), strict=True)),
            content_weight=float(rows["content_weight"][i]), style_weight=1.0, convention="wasserstein",
        )  # fmt: skip
        np.testing.assert_allclose(ours[i], jax.jit(Objective.__call__)(goal, rows["x"][i])[0], rtol=1e-3)


def test_lbfgs_lowers_a_quadratic():
    """The steps find the minimum of a quadratic of condition 100, and stay in [0, 1]."""
    generator = np.random.default_rng(0)
    goal, curvature = generator.uniform(0.2, 0.8, (2, 3, 3)), np.geomspace(1, 100, 18).reshape(2, 3, 3)
    nothing, pairs = np.zeros((2, 3, 3), "f4"), np.zeros((lbfgs.MEMORY, 2, 3, 3), "f4")
    at = lbfgs.Descent(nothing + 0.5, nothing, nothing, pairs, pairs, np.int32(0))
    values = []
    for _ in range(40):
        values.append(np.sum(curvature * (np.asarray(at.x) - goal) ** 2))
        at = STEP(at, jnp.asarray(2 * curvature * (at.x - goal), jnp.float32))
        assert at.x.min() >= 0 and at.x.max() <= 1
    assert at.age == 40
    assert values[8] < 0.3 * values[0]
    assert values[-1] < 1e-4 * values[0]


def test_a_pair_of_negative_curvature_is_not_learnt():
    nothing, pairs = np.zeros((2, 3, 3), "f4"), np.zeros((lbfgs.MEMORY, 2, 3, 3), "f4")
    at = lbfgs.Descent(nothing + 0.5, nothing + 0.4, nothing, pairs, pairs, np.int32(1))
    assert not STEP(at, jnp.asarray(nothing - 0.1)).steps.any()
    assert STEP(at, jnp.asarray(nothing + 0.1)).steps[-1].all()


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_the_teacher_says_what_the_library_says(tutor, narrow_teacher, pooling):
    """Losses, responses and moments are those of the library with VGG-19."""
    rows = rows_of_a_batch()
    targets = tutor.targets(rows["content"], rows["style"], pooling)
    taught = tutor.lesson(rows["x"], targets, pooling)
    assert targets.content.dtype == np.float16
    assert targets.content.shape == (BATCH, SIZE // 8, SIZE // 8, tutor.channels[student.CONTENT_TAP])
    net = vgg.network(narrow_teacher, pooling, student.PADDING)
    goal = usual_objective(
        net, jnp.asarray(rows["content"][0]), [jnp.asarray(rows["style"][0])],
        content_layers={student.CONTENT_TAP: 1.0}, style_layers=dict.fromkeys(student.STYLE_TAPS, 1.0),
        convention="normalized",
    )  # fmt: skip
    _, terms = jax.jit(Objective.__call__)(goal, jnp.asarray(rows["x"][0]))
    np.testing.assert_allclose(taught.losses[0, 5], terms["content"], rtol=2e-3)  # its target is float16
    np.testing.assert_allclose(taught.losses[0, :5].sum(), terms["style"], rtol=1e-3)
    seen = vgg.responses(net, jnp.asarray(rows["x"]), student.TAPS)
    quarter = SIZE // 4
    np.testing.assert_allclose(
        taught.features["conv1_1"], seen["conv1_1"][:, quarter:-quarter, quarter:-quarter], atol=1e-5
    )
    for tap in student.TAPS[1:]:
        np.testing.assert_allclose(taught.features[tap], seen[tap], rtol=1e-3, atol=1e-3 * seen[tap].max())
    for tap in student.STYLE_TAPS:
        one = np.asarray(seen[tap][0], float).reshape(-1, seen[tap].shape[-1])
        np.testing.assert_allclose(taught.style[tap].mean[0], one.mean(0), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(taught.style[tap].second[0], one.T @ one / len(one), rtol=1e-3, atol=1e-4)


def test_iterations_teach(tutor):
    """On a batch that stays, the errors of responses and moments fall; the mean of the parameters follows them."""
    rows = rows_of_a_batch()
    targets = tutor.targets(rows["content"], rows["style"], "max")
    taught = tutor.lesson(rows["x"], targets, "max")
    scales = {tap: float(np.sqrt(np.mean(np.square(f)))) for tap, f in taught.features.items()}
    params = student.random_start(0)
    before = leaves(params)
    state, logs = learning.start(params, "adam"), []
    for _ in range(10):
        state, log, moved = learning.iterate(state, rows, taught, targets.style, scales, 3e-3, pooling="max", **STATIC)
        logs.append(log)
    assert logs[-1]["features"].mean() < 0.8 * logs[0]["features"].mean()
    assert logs[-1]["loss"] < logs[0]["loss"]
    assert (moved.age == 1).all() and (np.asarray(moved.x) != rows["x"]).any()
    for old, mean, new in zip(before, leaves(state[1]), leaves(state[0]), strict=True):
        assert np.linalg.norm(mean - new) <= np.linalg.norm(old - new)


def test_dead_filters_begin_anew(narrow_teacher):
    """They answer at about half of the positions then; the responses at the taps, mapped, stay what they were."""
    params, images = student.random_start(0), jnp.asarray(batch_of_images(0, 2))
    dead = {"conv2_1": [1, 5], "conv4_2": [0], "conv5_1": [2, 3, 4]}
    for name, units in dead.items():
        bias = params["net"][name]["bias"]
        params["net"][name] |= {"bias": bias.at[np.array(units)].set(-1e3)}
    state = learning.start(params, "adam")
    found = revival.fresh_filters(params, images, "avg", np.random.default_rng(0))
    assert all(set(units) <= set(found[name].units) for name, units in dead.items())
    now, mean_now, _ = learning.revived(state, images, "avg", np.random.default_rng(0))
    before, after, of_mean = (student.features(each, images, "avg") for each in (params, now, mean_now))
    for tap in student.TAPS:
        mapped = before[tap] @ params["maps"][tap]
        for new, maps in ((after, now["maps"]), (of_mean, mean_now["maps"])):
            np.testing.assert_allclose(new[tap] @ maps[tap], mapped, atol=0.02 * float(jnp.abs(mapped).max()))
        for unit in dead.get(tap, ()):
            assert 0.2 < float(jnp.mean(after[tap][..., unit] > 0)) < 0.8
    assert not revival.fresh_filters(now, images, "avg", np.random.default_rng(1)), "all live"


def test_filters_live_on_where_all_of_a_layer_are_dead(narrow_teacher):
    """Nothing says how new ones are to vary there."""
    params, images = student.random_start(0), jnp.asarray(batch_of_images(0, 2))
    params["net"]["conv4_2"]["bias"] -= 1e3
    found = revival.fresh_filters(params, images, "avg", np.random.default_rng(0))
    assert "conv4_2" not in found
    assert all(np.isfinite(leaf).all() for leaf in leaves(revival.planted(params, found)))


@pytest.mark.slow
def test_a_student_that_answers_as_the_teacher_has_no_error(tutor):
    """What is learnt from is 0 where responses and moments are the teacher's."""
    rows, params = rows_of_a_batch(), student.random_start(0)

    @jax.jit
    def measured(params, rows):
        seen, paintings = (student.features(params, rows[name], "max") for name in ("x", "style"))
        mapped, aims = (
            {tap: f @ params["maps"][tap] * SCALES[tap] for tap, f in taps.items()} for taps in (seen, paintings)
        )
        moments = [{tap: student.moments_of(f[tap]) for tap in student.STYLE_TAPS} for f in (mapped, aims)]
        own = teacher.Lesson(jnp.zeros((BATCH, 6)), teacher.window(mapped), moments[0])
        return lesson.loss(params, rows, own, moments[1], SCALES, "max")

    total, log = measured(params, rows)
    np.testing.assert_allclose(total, 0, atol=1e-5)
    targets = tutor.targets(rows["content"], rows["style"], "max")
    taught = tutor.lesson(rows["x"], targets, "max")
    _, log = jax.jit(lesson.loss, static_argnums=5)(params, rows, taught, targets.style, SCALES, "max")
    assert all((np.asarray(log[name]) > 1e-3).all() for name in ("features", "means", "seconds"))


def test_the_bank_gives_batches_of_one_pooling_and_renews_what_is_old(data, tutor):
    pictures = Pictures(data / "images", SIZE)
    with Renewals(pictures, 0) as drawn:
        held = bank.Bank(8, SIZE, drawn, tutor, 4, np.random.default_rng(0))
        batches = [held.batch(BATCH) for _ in range(5)]
        assert [each.pooling for each in batches] == ["max", "avg", "avg", "avg", "max"]
        for each in batches:
            assert set(each.items) <= set(range(2) if each.pooling == "max" else range(2, 8))
            assert all(array.shape[0] == BATCH for array in each.rows.values())
        first = batches[0]
        for name in ("content", "style", "x"):
            assert first.rows[name].min() >= 0 and first.rows[name].max() <= 1
        seen = (np.asarray(held.rows[name][2:6]) for name in ("content", "style"))
        wanted = tutor.targets(*seen, "avg")
        np.testing.assert_allclose(held.targets.content[2:6], wanted.content, rtol=1e-2, atol=1e-3)
        held.life[first.items] = [1, 100]
        fields = {name: first.rows[name] for name in lbfgs.Descent._fields} | {"age": np.ones(BATCH, np.int32)}
        held.push(first, lbfgs.Descent(**fields), jnp.ones((BATCH, 6)), 1)
        ended = first.items[0]
        assert held.age[ended] == 0 or held.ended["max"] == [ended]
        assert held.age[first.items[1]] == held.rows["age"][first.items[1]] == 1


def test_a_bank_of_average_pooling_has_no_other(data, tutor):
    with Renewals(Pictures(data / "images", SIZE), 0) as drawn:
        held = bank.Bank(8, SIZE, drawn, tutor, 4, np.random.default_rng(0), both=False)
    assert list(held.members) == ["avg"]
    batches = [held.batch(8) for _ in range(5)]
    assert {each.pooling for each in batches} == {"avg"}
    assert all(sorted(each.items) == list(range(8)) for each in batches)


def test_an_item_begun_anew_keeps_its_coarse_picture(data, tutor):
    """With detail it gets the photograph's finest octave, without it is coarse; L-BFGS begins anew."""
    with Renewals(Pictures(data / "images", SIZE), 0) as drawn:
        held = bank.Bank(8, SIZE, drawn, tutor, 4, np.random.default_rng(0))
    rows = held.rows | {"x": held.rows["content"] + 0, "age": held.rows["age"] + 3, "steps": held.rows["steps"] + 1}
    before = np.asarray(rows["x"])
    coarse = np.clip(bank.coarsened(jnp.asarray(before)), 0, 1)
    again = bank._enlarged(rows, np.arange(4), np.array([1, 0, 1, 0], "f4"))
    np.testing.assert_allclose(again["x"][:4:2], before[:4:2], atol=1e-6)
    np.testing.assert_allclose(again["x"][1:4:2], coarse[1:4:2], atol=1e-6)
    assert np.abs(coarse - before).max() > 1e-3
    np.testing.assert_array_equal(again["x"][4:], before[4:])
    np.testing.assert_array_equal(again["age"], [0] * 4 + [3] * 4)
    assert not again["steps"][:4].any() and again["steps"][4:].all()


def test_renewals_do_not_depend_on_which_is_done_first(data, monkeypatch):
    """Where the first waits for the second, they are what they are by one thread after the other."""
    pictures = Pictures(data / "images", SIZE)
    wanted = [renewals.draw(pictures, np.random.default_rng([0, 5, number])) for number in range(2)]
    second_is_done, draw, begun = threading.Event(), renewals.draw, itertools.count()

    def late(pictures, rng):
        first = next(begun) == 0
        if first:
            assert second_is_done.wait(60)
        found = draw(pictures, rng)
        if not first:
            second_is_done.set()
        return found

    monkeypatch.setattr(renewals.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(renewals, "draw", late)
    with Renewals(pictures, 0, 5) as drawn:
        found = [drawn.take() for _ in range(2)]
    for one, other in zip(found, wanted, strict=True):
        for name in Renewal._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (found[0].content != found[1].content).any()


def test_only_the_training_half_is_taught_with(data):
    """Contents and paintings of the other half are passed over; without one of the first it is an error."""
    folder = data / "images"
    for kind, name in (("content", "zebra"), ("style", "hokusai_great_wave")):
        images.save_image(folder / kind / f"{name}.png", smooth_picture(40, 48, 9))
    assert [len(pictures) for pictures in Pictures(folder, SIZE).kinds.values()] == [2, 2, 2]
    for name in TAUGHT["style"][:2]:
        (folder / "style" / f"{name}.png").unlink()
    with pytest.raises(NSTError, match="has no picture of the half to train on"):
        Pictures(folder, SIZE)


def test_what_is_no_picture_is_passed_over(data):
    """As for paintings: hidden files, folders, and what has another extension."""
    for name in ("notes.txt", "._a.png"):
        (data / "images" / "train" / name).write_text("no picture")
    (data / "images" / "train" / "more.png").mkdir()
    pictures = Pictures(data / "images", SIZE)
    assert [len(pictures.kinds[kind]) for kind in KINDS] == [2, 2, 2]


def test_the_same_seed_gives_the_same_run_and_it_goes_on(options, capsys):
    """A run equals another of the same seed; stopped half-way and started again, it does as many iterations."""
    ended = run.train(options, ticking())
    lines = capsys.readouterr().out.splitlines()
    assert ended.iteration == 6 and len(lines) == 2
    assert lines[1].startswith("6 0.1 min, rate") and "second moments [" in lines[1]
    held = weights_file.load_weights(options.out / "slim.h5", "slim")
    assert held.metadata["trained_iterations"] == "6"
    assert held.metadata["trained_by"].startswith("scripts/train_slim.py --minutes 0.08")
    assert held.metadata["trained_on"] == "2 photographs, 2 contents, 2 paintings"
    assert held.metadata["teacher_sha256"] == weights_file.find_weights("vgg19").sha256

    again = run.train(dataclasses.replace(options, out=options.out.with_name("again")), ticking())
    for ours, theirs in zip(leaves(again.state), leaves(ended.state), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    parts = dataclasses.replace(options, out=options.out.with_name("parts"))
    stopped = run.train(dataclasses.replace(parts, minutes=1.9 / 60), ticking())
    assert stopped.iteration == 3
    with Checkpoints(parts.out) as checkpoints:
        blank = Progress(learning.start(student.random_start(9), "adam"), dict.fromkeys(student.TAPS, 0.0))
        saved = checkpoints.latest(blank)
        assert (saved.iteration, saved.seconds) == (3, stopped.seconds)
        assert saved.scales == pytest.approx(stopped.scales)
        for ours, theirs in zip(leaves(saved.state), leaves(stopped.state), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert run.train(parts, ticking()).iteration == 7
    assert run.train(parts, ticking()).iteration == 7, "its time is over"
    for path in (parts.out / "checkpoints" / "7").rglob("*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)
    with Checkpoints(parts.out) as checkpoints:
        assert checkpoints.latest(blank).iteration == 3, "the one before that was damaged"
        assert checkpoints.manager.all_steps() == [3]
    with pytest.raises(NSTError, match="of another --learner"):
        run.train(dataclasses.replace(parts, learner="muon"), ticking())


def refused(options, capsys, **changes):
    """What a command line says that is refused, in one line."""
    given = {"data": options.data, "out": options.out} | changes
    words = [word for name, value in given.items() for word in (flag(name), str(value))]
    assert command.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("size", 40, "--size is 40: give a multiple of 16"),
        ("size", 0, "--size is 0: give a multiple of 16"),
        ("size", 304, "--size is 304: give a multiple of 16 up to 288"),
        ("minutes", 0, "--minutes is 0.0: give a number above 0"),
        ("minutes", "nan", "--minutes is nan"),
        ("rate", -1, "--rate is -1.0: give a number above 0"),
        ("average", 1, "--average is 1.0"),
        ("batch", 0, "--batch is 0: give a whole number of 1 or more"),
        ("pushes", 0, "--pushes is 0"),
        ("log_every", 0, "--log-every is 0"),
        ("seed", -1, "--seed is -1"),
        ("bank", 31, "--bank is 31: give at least 32, four times --batch"),
        ("learner", "sgd", "invalid choice 'sgd'"),
        ("colour", "red", "Unrecognized options: --colour"),
    ],
)
def test_a_wrong_option_is_one_line(options, capsys, option, value, message):
    assert message in refused(options, capsys, **{option: value})


def test_wrong_files_are_one_line(options, capsys, tmp_path, monkeypatch):
    assert f"{tmp_path}/none/images/train is no folder" in refused(options, capsys, data=tmp_path / "none")
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert f"cannot write to {blocked}/checkpoints" in refused(options, capsys, out=blocked, bank=32, size=SIZE)
    assert "no weights file at" in refused(options, capsys, init_from=tmp_path / "none.h5")
    assert "holds vgg19, not a student" in refused(options, capsys, init_from=weights_file.weights_path("vgg19"))
    assert "no weights file" in refused(options, capsys, init_from=blocked)
    spoilt = options.data / "images" / "train" / "c.png"
    spoilt.write_text("no picture")
    assert "c.png is not a picture" in refused(options, capsys)
    spoilt.unlink()
    for path in (options.data / "images" / "style").iterdir():
        path.unlink()
    assert f"{options.data / 'images' / 'style'} is a folder without pictures" in refused(options, capsys)
    monkeypatch.setenv(weights_file.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    assert "no weights for vgg19" in refused(options, capsys)
