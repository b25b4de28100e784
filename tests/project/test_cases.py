"""Each case that was reported has a test: the rows of the three lists of them in the shared folder."""

import csv
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ENDINGS = "cli/test_endings.py"
READ, ALPHA = "pictures/test_large.py: cases_that_once_failed", "pictures/test_large.py: cases_with_alpha"
WEIGHTS = "convert/test_hostile.py: the_command_says_one_line_and_writes_nothing"
SIZES = "options/test_presets.py: presets_are_ordinary_files_of_some_size"
#: By a row's number in its list: a test's file and name, without its "test_".
PICTURES_AND_WEIGHTS = {
    **dict.fromkeys(range(1, 18), READ), 2: ALPHA, 7: ALPHA,
    18: "pictures/test_large.py: memory_is_that_of_the_picture_asked_for",
    **dict.fromkeys(range(19, 32), WEIGHTS), 28: "convert/test_hostile.py: the_same_by_the_files_that_are_kept",
    30: "networks/test_weights_file.py: a_file_that_libhdf5_reads_for_ever",
    32: "convert/test_command.py: a_name_that_is_no_utf_8",
    33: "convert/test_hostile.py: what_means_harm_is_refused_in_one_line",
    34: "options/test_presets.py: a_mark_of_byte_order_is_passed_over",
    35: "options/test_presets.py: what_cannot_be_used_is_told_in_one_line_that_names_the_file", 36: SIZES, 37: SIZES,
}  # fmt: skip
RUNS = {
    1: f"{ENDINGS}: metadata_for_which_there_is_no_room_is_shortened",
    2: f"{ENDINGS}: previews_take_the_place_of_no_input",
    3: "runs/test_limits.py: the_nearest_limit_on_the_way_up_counts_in_version_1",
    4: f"{ENDINGS}: an_option_that_is_there_twice_is_refused",
    5: "pictures/test_masks.py: a_mask_that_is_perhaps_not_meant_so_is_a_note",
    6: "pictures/test_masks.py: what_is_frozen_draws_nothing",
    7: f"{ENDINGS}: the_command_writes_each_preview_on_an_accelerator_s_schedule",
    8: f"{ENDINGS}: the_command_with_a_console_of_its_own",
    9: f"{ENDINGS}: a_device_that_is_not_there_gets_one_line",
    10: f"{ENDINGS}: previews_have_the_transparency_of_the_result",
    11: f"{ENDINGS}: a_run_on_a_full_disk_ends_with_its_picture",
    12: f"{ENDINGS}: a_tiny_painting_is_told_what_helps",
    13: "cli/test_cache.py: a_user_without_a_home_folder",
    14: f"{ENDINGS}: a_loss_that_ends_above_its_start_is_a_note",
    15: f"{ENDINGS}: a_signal_writes_the_picture_so_far",
    16: "pictures/test_formats.py: the_first_of_several_has_a_note",
}
HOSTILE = {
    1: "runs/test_limits.py: the_command_takes_what_it_has_planned",
    2: f"{ENDINGS}: no_device_or_pipe_is_replaced",
    3: f"{ENDINGS}: before_the_first_step_a_signal_gets_one_line",
    4: f"{ENDINGS}: metadata_for_which_there_is_no_room_is_shortened",
    5: f"{ENDINGS}: two_names_of_one_file_are_refused",
    6: f"{ENDINGS}: previews_take_the_place_of_no_input",
    7: "options/test_presets.py: masks_are_saved_in_a_preset",
    8: f"{ENDINGS}: a_reader_that_goes_away_ends_nothing",
    9: f"{ENDINGS}: the_command_with_a_console_of_its_own",
    10: f"{ENDINGS}: a_name_that_is_too_long_gets_one_line",
    11: f"{ENDINGS}: what_cannot_be_looked_at_gets_one_line",
    12: "sweeps/test_lanes.py: a_painting_whose_name_is_no_utf_8",
    13: "cli/test_cache.py: a_user_without_a_home_folder",
    14: "pictures/test_images.py: a_picture_that_is_not_enlarged_is_refused_for_no_size",
    15: "options/test_config.py: what_cannot_be_used_is_told_in_one_line",
    16: f"{ENDINGS}: an_unknown_option_is_named_though_another_is_missing",
    17: "options/test_config.py: what_cannot_be_used_is_told_in_one_line",
    18: "runs/test_limits.py: a_limit_of_addresses_gets_one_line_with_what_would_fit",
    19: "cli/test_cache.py: damaged_programs_are_removed",
    20: "sweeps/test_lanes.py: a_damaged_lane_is_run_anew_and_is_the_same",
    21: "options/test_config.py: a_preset_that_is_named_applies",
    22: "project/test_misuses.py: a_misuse_is_one_line",
}
CASES = {"README.tsv": PICTURES_AND_WEIGHTS, "runs/README.tsv": RUNS, "hostile/README.tsv": HOSTILE}


@pytest.mark.parametrize("name", CASES)
def test_every_row_has_a_test(shared, name):
    path = shared / "cases" / name
    if not path.is_file():
        pytest.skip("no such list")
    with path.open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert sorted(CASES[name]) == list(range(1, len(rows)))


def test_the_tests_of_the_rows_are_there():
    for told in {test for rows in CASES.values() for test in rows.values()}:
        file, test = told.split(": ")
        assert re.search(rf"^def test_{test}\(", (TESTS / file).read_text(), re.MULTILINE), told
