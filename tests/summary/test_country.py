"""Countries of E.164 users are looked up by the thousand; phonenumbers, asked of each number, must agree."""

from __future__ import annotations

import random

import phonenumbers
import pytest

from agent.summary.identity import country_of

KINDS = (0, 1, 3, 4, 5, 6, 7)  # fixed, mobile, toll-free, premium, shared cost, VoIP, personal


@pytest.mark.parametrize("code", [1, 7, 39, 44, 47, 61, 212, 262, 290, 358, 590, 599])
def test_country_of_number_in_shared_country_code_is_that_of_the_whole_number(code: int) -> None:
    chance = random.Random(code)
    asked = 0
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        for kind in KINDS:
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            head = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            if len(head) < 8:
                continue
            for _ in range(10):
                number = head[:-4] + f"{chance.randrange(10_000):04}"
                expected = phonenumbers.region_code_for_number(phonenumbers.parse(number))
                assert country_of(number, None) == expected, number
                asked += 1
    assert asked > 20
