"""What the tests of batches share: small inputs, quick options, and a batch made in this process."""

from support import smooth_picture

from nst_jax.batch.folder import Folder
from nst_jax.batch.work import Worker
from nst_jax.cli import batch
from nst_jax.pictures import images

#: Options of a run of two steps that compiles quickly. With two lanes, one program serves most tests.
QUICK = [
    "--preset", "nst_jax-0.1", "--network", "slim", "--size", "32", "--scales", "1", "--steps", "2", "--content-layers",
    "conv1_1", "--style-layers", "conv1_1", "conv2_1",
]  # fmt: skip


def make_inputs(folder, contents=5, styles=2):
    """Photographs of 32 x 24 pixels and paintings of two shapes, as files: (contents, styles)."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"content-{number}.png" for number in range(contents)]
    paintings = [folder / f"style-{number}.png" for number in range(styles)]
    for seed, path in enumerate(paths):
        images.save_image(path, smooth_picture(24, 32, seed))
    for seed, path in enumerate(paintings):
        images.save_image(path, smooth_picture(30 + seed, 40, 50 + seed))
    return [str(path) for path in paths], [str(path) for path in paintings]


def options_of(contents, styles, output, *more, lanes=2):
    """The options of a command line."""
    line = ["--content", *contents, "--style", *styles, "--output", str(output), *QUICK, "--lanes", str(lanes), *more]
    return batch.parsed(line)


def made_here(options):
    """Makes a batch in this process; gives its folder and jobs."""
    folder = Folder(options.output, options.metadata)
    folder.make()
    jobs, units = batch.planned(options, folder)
    Worker(folder).work(units)
    return folder, jobs


def pictures_of(folder):
    """The bytes of the pictures, by their jobs."""
    return {path.parent.name: path.read_bytes() for path in folder.path.glob("results/*/picture.*")}
