"""The shared pictures in two halves: on one the options are chosen, on the other they are reported.

Photographs and paintings are in one half each, so that no pair of the second has anything of the first. Pairs of which
another tool's results are known are in the second, but for the first pair, which was tuned on.
"""

from __future__ import annotations

#: Pairs to choose on.
CHOOSE = (
    ("paper_neckarfront_tuebingen", "paper_starry_night_vangogh_1889"),
    ("golden_gate", "paper_composition_vii_kandinsky_1913"),
    ("stata_center", "paper_femme_nue_assise_picasso_1910"),
    ("horses", "aesust_gauguin_arearea"),
    ("kodim24", "vangogh_night_cafe"),
    ("taj_mahal", "monet_water_lilies_1919"),
    ("chicago_skyline", "vangogh_starry_night_over_the_rhone"),
    ("yosemite", "wikiart_renoir_landscape"),
    ("flower_vase", "aesust_renoir_flowers"),
    ("butterfly", "greek_vase"),
    ("golden_temple", "picasso_self_portrait_1907"),
    ("stone_capitals", "aesust_cezanne_bellevue"),
)
#: Pairs to report; the first six are those of which Crowson's results are known.
REPORT = (
    ("hoover_tower_night", "aesust_cezanne_mont_sainte_victoire"),
    ("kinkakuji", "sakai_hoitsu_flower"),
    ("motorbike", "munch_self_portrait"),
    ("swiss_house", "gauguin_tahiti"),
    ("temple", "paper_shipwreck_minotaur_turner"),
    ("zebra", "delaunay_portrait_metzinger_1906"),
    ("lion", "hokusai_great_wave"),
    ("kodim07", "paper_der_schrei_munch_1893"),
    ("red_cottage", "aesust_signac_harbour"),
    ("statue_of_liberty", "woman_with_hat_matisse_1905"),
    ("victoria_falls_sunset", "wikiart_aivazovsky_sea"),
    ("garden_gate", "monet_woman_with_parasol"),
)
HALVES = {"choose": CHOOSE, "report": REPORT}
#: All photographs and paintings to choose with, also for training; every other one is the second half's.
CHOOSE_CONTENT = tuple(
    [
        "butterfly",
        "chicago_skyline",
        "fields_hay_bales",
        "flower_vase",
        "golden_gate",
        "golden_temple",
        "horses",
        "kodim02",
        "kodim06",
        "kodim09",
        "kodim11",
        "kodim16",
        "kodim20",
        "kodim24",
        "milford_sound",
        "nst_in57",
        "paper_neckarfront_tuebingen",
        "pink_hotel_palms",
        "rice_field",
        "stata_center",
        "stone_capitals",
        "taj_mahal",
        "waterfall_mountain",
        "yosemite",
    ]
)
CHOOSE_STYLE = tuple(
    [
        "aesust_cezanne_bellevue",
        "aesust_cezanne_house_jas_de_bouffan",
        "aesust_cezanne_pot_pears",
        "aesust_gauguin_arearea",
        "aesust_monet_water_lilies",
        "aesust_mountain_lake_dusk",
        "aesust_pale_beach",
        "aesust_renoir_flowers",
        "aesust_vangogh_self_pipe",
        "greek_vase",
        "monet_water_lilies_1919",
        "paper_composition_vii_kandinsky_1913",
        "paper_femme_nue_assise_picasso_1910",
        "paper_starry_night_vangogh_1889",
        "picasso_self_portrait_1907",
        "starry_night_vangogh_google",
        "vangogh_night_cafe",
        "vangogh_starry_night_over_the_rhone",
        "vangogh_wheatfield_cypresses",
        "vangogh_wheatfield_cypresses_national_gallery",
        "wikiart_aivazovsky_storm",
        "wikiart_garden_city_view",
        "wikiart_renoir_landscape",
        "wikiart_venetian_crowd",
        "wikiart_yellow_purple_sea",
    ]
)
