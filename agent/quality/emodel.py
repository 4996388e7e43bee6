"""Speech quality from what the network did: the E-model of ITU-T G.107 (06/2015) and G.107.1.

Pure functions, no state. Levels are dB (dBm, dBm0p), times ms, ratings R on 0..100 (narrowband) or 0..129
(wideband), MOS is MOS-CQE of P.800.1.

R = Ro - Is - Id - Ie-eff + A                                                      (G.107 eq. 7-1)

Worked values. Default parameters: No = -61.18 dBm0p, Ro = 94.77, Is = 1.41, Id = 0.15, R = 93.2, MOS 4.41.
Absolute delay: Idd(100) = 0, Idd(150) = 0.164, Idd(200) = 3.04, Idd(400) = 24.07. G.729A+VAD at 2 % random
loss: Ie-eff = 11 + 84 * 2 / (2 + 19) = 19, as older issues of G.113 tabulate. R 90, 80, 70, 60, 50 is MOS
4.34, 4.03, 3.60, 3.10, 2.58 (Annex B).

Three choices of ours, for the Recommendation leaves them to its user:

- The echo path is as long as the speech path and unchanged from the defaults (TELR 65 dB, WEPL 110 dB):
  T = Ta and Tr = 2 Ta. A capture cannot see a handset's echo.
- A (advantage) is 0: nobody's call is excused for being mobile.
- R is capped at 93.2, below at 0: the scale ends there, MOS is 1 at and below it in any case.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, log2, log10, pow, sqrt
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.quality.codecs import Codec

R_BEST: Final = 93.2
"""Cap of the narrowband rating: G.107's result with default parameters, as the Recommendation rounds it."""
R_BEST_WB: Final = 129.0
"""Ro,WB: the best rating of the wideband scale (G.107.1 eq. 7-2)."""
BURST_MAX: Final = 8.0
"""Upper end of BurstR's permitted range (G.107 Table 3)."""


class Parameters(Struct, frozen=True):
    """Inputs of the E-model with the defaults of G.107 Table 3 (Bpl 4.3 is G.711 without concealment)."""

    slr: float = 8.0  # send loudness rating, dB
    rlr: float = 2.0  # receive loudness rating, dB
    stmr: float = 15.0  # sidetone masking rating, dB
    lstr: float = 18.0  # listener sidetone rating, dB
    ds: float = 3.0  # D-value of the telephone, send side
    telr: float = 65.0  # talker echo loudness rating, dB
    wepl: float = 110.0  # weighted echo path loss, dB
    t: float = 0.0  # mean one-way delay of the echo path, ms
    tr: float = 0.0  # round trip delay in the four-wire loop, ms
    ta: float = 0.0  # absolute delay in echo-free connections, ms
    mt: float = 100.0  # least delay that is noticed, ms (2015)
    st: float = 1.0  # delay sensitivity (2015)
    qdu: float = 1.0  # quantizing distortion units
    ie: float = 0.0  # equipment impairment
    bpl: float = 4.3  # packet loss robustness
    ppl: float = 0.0  # packet loss, per cent
    burst_r: float = 1.0  # burst ratio
    nc: float = -70.0  # circuit noise at the 0 dBr point, dBm0p
    nfor: float = -64.0  # noise floor at the receive side, dBmp
    ps: float = 35.0  # room noise, send side, dB(A)
    pr: float = 35.0  # room noise, receive side, dB(A)
    a: float = 0.0  # advantage


def _bend(x: float, n: float) -> float:
    """(1 + x^n)^(1/n): 1 for small x, x for large; the curve that G.107 is made of."""
    return pow(1 + pow(x, n), 1 / n)


def noise(p: Parameters) -> float:
    """No, power sum of all noises at the 0 dBr point, dBm0p (G.107 eq. 7-3 to 7-7)."""
    olr = p.slr + p.rlr
    nos = p.ps - p.slr - p.ds - 100 + 0.004 * (p.ps - olr - p.ds - 14) ** 2
    pre = p.pr + 10 * log10(1 + 10 ** ((10 - p.lstr) / 10))
    nor = p.rlr - 121 + pre + 0.008 * (pre - 35) ** 2
    nfo = p.nfor + p.rlr
    return 10 * log10(sum(10 ** (n / 10) for n in (p.nc, nos, nor, nfo)))


def signal_to_noise(p: Parameters) -> float:
    """Ro (G.107 eq. 7-2)."""
    return 15 - 1.5 * (p.slr + noise(p))


def sidetone(p: Parameters) -> float:
    """Ist, sidetone that is not optimal, with the talker echo that adds to it (G.107 eq. 7-11, 7-12)."""
    stmro = -10 * log10(10 ** (-p.stmr / 10) + exp(-p.t / 4) * 10 ** (-p.telr / 10))
    return (
        12 * _bend((stmro - 13) / 6, 8)
        - 28 * _bend((stmro + 1) / 19.4, 35)
        - 13 * _bend((stmro - 3) / 33, 13)
        + 29
    )


def simultaneous(p: Parameters) -> float:
    """Is = Iolr + Ist + Iq: what happens together with the voice (G.107 eq. 7-8 to 7-17)."""
    olr = p.slr + p.rlr
    xolr = olr + 0.2 * (64 + noise(p) - p.rlr)
    iolr = 20 * (_bend(xolr / 8, 8) - xolr / 8)
    q = 37 - 15 * log10(p.qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y = (signal_to_noise(p) - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    iq = 15 * log10(1 + 10**y + 10**z)
    return iolr + sidetone(p) + iq


def talker_echo(p: Parameters) -> float:
    """Idte (G.107 eq. 7-19 to 7-24)."""
    ist = sidetone(p)
    idte = 0.0
    if p.t >= 1:  # "For values of T < 1 ms the talker echo should be considered as sidetone, i.e., Idte = 0"
        terv = p.telr - 40 * log10((1 + p.t / 10) / (1 + p.t / 150)) + 6 * exp(-0.3 * p.t * p.t)
        if p.stmr < 9:  # a loud sidetone masks part of the echo: TERVs
            terv += ist / 2
        idte = _soft_step(-1.5 * (noise(p) - p.rlr) - (80 + 2.5 * (terv - 14)), p.t)
    if p.stmr > 20:  # a faint one adds to it: Idtes
        return sqrt(idte * idte + ist * ist)
    return idte


def _soft_step(excess: float, t: float) -> float:
    """Talker echo's own curve over Roe - Re (G.107 eq. 7-19, G.107.1 eq. 7-5)."""
    return (excess / 2 + sqrt(excess * excess / 4 + 100) - 1) * (1 - exp(-t))


def listener_echo(p: Parameters, ro: float) -> float:
    """Idle (G.107 eq. 7-25, 7-26); `ro` because G.107.1 puts 129 there."""
    excess = ro - 10.5 * (p.wepl + 7) * pow(p.tr + 1, -0.25)
    return excess / 2 + sqrt(excess * excess / 4 + 169)


def absolute_delay(p: Parameters) -> float:
    """Idd, delay that hurts even without echo (G.107 eq. 7-27, 7-28)."""
    if p.ta <= p.mt:
        return 0.0
    x = log2(p.ta / p.mt)
    n = 6 * p.st
    return 25 * (_bend(x, n) - 3 * _bend(x / 3, n) + 2)


def equipment(ie: float, bpl: float, ppl: float, burst_r: float = 1.0) -> float:
    """Ie-eff of a codec at `ppl` per cent loss (G.107 eq. 7-29; G.107.1 eq. 7-15 keeps the same 95)."""
    return ie + (95 - ie) * ppl / (ppl / burst_r + bpl)


def rating(p: Parameters) -> float:
    """R by the whole of G.107, neither capped nor floored."""
    ro = signal_to_noise(p)
    delay = talker_echo(p) + listener_echo(p, ro) + absolute_delay(p)
    return ro - simultaneous(p) - delay - equipment(p.ie, p.bpl, p.ppl, p.burst_r) + p.a


def rating_wb(p: Parameters) -> float:
    """R,WB by G.107.1 (2019 with Cor. 1): Ro 129, Is 0, echo and delay on the longer scale.

    The Recommendation leaves No,WB open. It is taken as G.107's sum with the wideband noise floor, Nfor
    = -96 dBmp: -68.8 dBm0p. BurstR is applied as in G.107.
    """
    echo = 0.0
    if p.t >= 1:
        k = 0.08 * p.t + 10 if p.t < 100 else 18.0  # eq. 7-9, 7-10
        terv = p.telr + k - 40 * log10((1 + p.t / 10) / (1 + p.t / 150)) + 6 * exp(-0.3 * p.t * p.t)
        echo = _soft_step(-1.5 * (noise(replace(p, nfor=-96.0)) - p.rlr) - (80 + 3 * (terv - 14)), p.t)
    delay = echo + listener_echo(p, R_BEST_WB) + 1.29 * absolute_delay(p)  # eq. 7-13
    return R_BEST_WB - delay - equipment(p.ie, p.bpl, p.ppl, p.burst_r) + p.a


def mos(r: float) -> float:
    """MOS-CQE of a narrowband rating (G.107 Annex B): 1 for R <= 0, 4.5 for R >= 100.

    Between them the cubic falls under 1 for 0 < R < 6.5 (0.989 at worst); opinion cannot, so it is held at 1.
    """
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def mos_wb(r: float) -> float:
    """MOS-CQEW of a wideband rating (G.107.1 Annex A): the same curve over R / 1.29."""
    return mos(r / 1.29)


def _at(delay_ms: float) -> Parameters:
    return Parameters(t=delay_ms, ta=delay_ms, tr=2 * delay_ms)


# R before the codec's part, at each whole ms of delay: a minute close scores thousands of calls, which differ
# in delay, loss and codec only. Between two points R is taken as linear, which moves it by less than 0.02 and
# MOS by less than 0.001; below 1 ms, where Idte jumps, and above the table the formulas are evaluated.
_TABLE_MS: Final = 1000
# Points are worked out when first met: a start should not pay for delays that nobody has.


@lru_cache(maxsize=_TABLE_MS + 2)
def _clear(ms: int) -> float:
    return rating(_at(ms))


@lru_cache(maxsize=_TABLE_MS + 2)
def _clear_wb(ms: int) -> float:
    return rating_wb(_at(ms))


class Score(Struct, frozen=True):
    """Quality of one direction: narrowband R and MOS; wideband MOS, None for narrowband codecs."""

    r: float
    mos: float
    mos_wb: float | None
    assumed: bool = False  # a figure of the codec is our assumption
    buffer: str = ""  # the jitter buffer that was modelled


def score(
    codec: Codec, *, loss_ratio: float, burst_ratio: float = 1.0, one_way_delay_ms: float, plc: bool = True
) -> Score:
    """Score one direction.

    Args:
        codec: of the stream.
        loss_ratio: packets lost or too late for the jitter buffer / packets expected, 0 to 1.
        burst_ratio: as `burst_ratio()` gives it, 1 to 8.
        one_way_delay_ms: mouth to ear, as `one_way_delay_ms()` gives it, 0 or more.
        plc: whether the receiver conceals losses (codecs with concealment of their own always do).

    Raises:
        ValueError: an argument is NaN or out of its range. Unknown must stay unknown, never a score.
    """
    if not (0.0 <= loss_ratio <= 1.0 and 1.0 <= burst_ratio <= BURST_MAX and 0.0 <= one_way_delay_ms < 1e9):
        raise ValueError(f"not to be scored: {loss_ratio=}, {burst_ratio=}, {one_way_delay_ms=}")
    ms = int(one_way_delay_ms)
    fraction = one_way_delay_ms - ms
    if 0 < ms <= _TABLE_MS:
        clear = _clear(ms) + fraction * (_clear(ms + 1) - _clear(ms))
    else:
        clear = rating(_at(one_way_delay_ms))
    ppl = 100.0 * loss_ratio
    seen = ppl / burst_ratio
    ie = codec.ie
    r = clear - ie - (95.0 - ie) * ppl / (seen + (codec.bpl if plc else codec.bpl_no_plc))
    if r > R_BEST:
        r = R_BEST
    elif r < 0.0:
        r = 0.0
    if codec.ie_wb is None or codec.bpl_wb is None:
        return Score(r, mos(r), None, codec.assumed)
    if 0 < ms <= _TABLE_MS:
        clear = _clear_wb(ms) + fraction * (_clear_wb(ms + 1) - _clear_wb(ms))
    else:
        clear = rating_wb(_at(one_way_delay_ms))
    wide = mos_wb(clear - equipment(codec.ie_wb, codec.bpl_wb, ppl, burst_ratio))
    return Score(r, mos(r), wide, codec.assumed)


def one_way_delay_ms(rtt_ms: float, codec: Codec, *, packet_ms: float, jitter_buffer_ms: float) -> float:
    """Mouth-to-ear delay, ms: half the round trip, jitter buffer, packetisation, the coder's look-ahead.

    Processing time of the endpoints is not known and not added (G.114 Annex A would add up to a frame each).
    """
    return rtt_ms / 2 + jitter_buffer_ms + packet_ms + codec.lookahead_ms


def burst_ratio(lost: int, runs: int, total: int) -> float:
    """BurstR (G.107 7.5): mean length of the bursts seen / mean length expected under random loss.

    Random loss with probability p makes bursts of mean length 1 / (1 - p). Held within 1 to 8, the range that
    G.107 permits; it warns against ratios over 2 where loss passes 2 %. 1.0 where nothing was lost, and where
    everything was (no length can then be expected).

    Args:
        lost: packets lost.
        runs: bursts of consecutive lost packets that they make.
        total: packets expected.
    """
    if lost <= 0 or runs <= 0 or lost >= total:
        return 1.0
    return min(BURST_MAX, max(1.0, lost / runs * (1 - lost / total)))
