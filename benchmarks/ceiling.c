/* The ceiling of the RTP loop: what plain C takes for the counting part, without a bounds check.
 *
 * Reads the same index as agent/media/rtp/loop_cy.py and does what every packet of a steady stream needs:
 * decode Ethernet, IPv4 and UDP, find the stream by its key in an open-addressing table, extend the sequence
 * number, keep the 64-number window and judge what leaves it, count packets and bytes, RFC 3550 A.8 jitter.
 * It handles no VLAN, IPv6, fragment, copy, restart, reordering, minute or payload map.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t src, dst, sockets;
    int64_t last, top, judged, packets, bytes, lost, ref_ns, ref_ts, jitter_count;
    double jitter, jitter_sum, jitter_max;
    uint32_t window[64];
} stream;

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }
static uint16_t be16(const uint8_t *p) { return p[0] << 8 | p[1]; }

/* Returns the packets counted; `lost` and `jitter` receive totals, so that nothing is optimised away. */
int64_t ceiling(const uint8_t *data, const int64_t *index, int64_t frames, int64_t capacity, int64_t *lost,
                double *jitter)
{
    stream *streams = calloc(capacity, sizeof *streams);
    uint64_t mask = 1024, used = 0;
    while (mask < 2 * (uint64_t)capacity)
        mask *= 2;
    uint32_t *table = calloc(mask, sizeof *table);
    int64_t counted = 0;
    mask--;
    for (int64_t at = 0; at < frames; at++) {
        const int64_t *frame = index + 5 * at;
        const uint8_t *eth = data + frame[0], *ip = eth + 14;
        if (frame[1] < 54 || be16(eth + 12) != 0x0800 || ip[0] >> 4 != 4 || ip[9] != 17)
            continue;
        if (be16(ip + 6) & 0x3fff)
            continue;
        const uint8_t *udp = ip + ((ip[0] & 15) << 2), *rtp = udp + 8;
        if (rtp[0] >> 6 != 2 || (rtp[1] >= 192 && rtp[1] <= 223))
            continue;
        uint64_t src = be32(ip + 12), dst = be32(ip + 16);
        uint64_t sockets = (uint64_t)be32(rtp + 8) << 32 | be32(udp);
        uint64_t hash = (src * 0x9e3779b97f4a7c15u + dst * 0xc2b2ae3d27d4eb4fu) ^ sockets * 0x165667b19e3779f9u;
        hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93u >> 32;
        stream *s;
        for (;; hash++) {
            uint32_t slot = table[hash & mask];
            if (slot) {
                s = streams + slot - 1;
                if (s->sockets == sockets && s->src == src && s->dst == dst)
                    break;
                continue;
            }
            if (used == (uint64_t)capacity)
                abort();
            s = streams + used++;
            table[hash & mask] = used;
            s->src = src, s->dst = dst, s->sockets = sockets;
            s->top = be16(rtp + 2) - 1;
            s->judged = s->top;
            break;
        }
        int64_t stamp = frame[3];
        uint16_t seq = be16(rtp + 2);
        uint32_t ts = be32(rtp + 4);
        int64_t top = s->top + ((seq - s->top) & 0xffff);
        s->packets++;
        s->bytes += be16(udp + 4) - 8;
        for (int64_t n = s->judged + 1; n <= top - 64; n++)
            s->lost += !s->window[n & 63];
        if (top - 64 > s->judged)
            s->judged = top - 64;
        for (int64_t n = s->top + 1; n < top; n++)
            s->window[n & 63] = 0;
        s->window[seq & 63] = 1 | (uint32_t)(stamp >> 15) << 13;
        s->top = top;
        if (s->packets > 1) {
            double off = (double)(stamp - s->ref_ns) * 8000.0 / 1e9 - (double)(int32_t)(ts - (uint32_t)s->ref_ts);
            s->jitter += ((off < 0 ? -off : off) - s->jitter) / 16;
            s->jitter_sum += s->jitter;
            s->jitter_count++;
            if (s->jitter > s->jitter_max)
                s->jitter_max = s->jitter;
        }
        s->ref_ns = stamp;
        s->ref_ts = ts;
        s->last = stamp;
        counted++;
    }
    for (uint64_t i = 0; i < used; i++)
        *lost += streams[i].lost, *jitter += streams[i].jitter_sum;
    free(streams);
    free(table);
    return counted;
}
