/* Frames of a file, again and again, as fast as the kernel takes them or at a rate.
 *
 *     frame_flood INTERFACE FILE SECONDS RATE
 *
 * RATE is frames a second, 0 for as many as go. The file, in the host's byte order, a record a frame: its length and
 * the number of its places (uint32), the places, its bytes. At each place stands base + round * step, as four
 * bytes in network order or as eight hexadecimal digits, where `round` says how often the file was sent before.
 * Prints one line: frames sent, seconds.
 */
#define FRAME_MOST 65600
#include "../../benchmarks/sender.h"

struct place { uint32_t at, is_text, base, step; };
struct record { uint32_t length, places; };

static void mark(uint8_t *frame, const struct place *place, uint32_t round) {
    uint32_t value = place->base + round * place->step;
    char digits[9];
    if (!place->is_text) { put32(frame + place->at, value); return; }
    snprintf(digits, sizeof digits, "%08x", value);
    memcpy(frame + place->at, digits, 8);
}

int main(int count, char **words) {
    if (count != 5) return 2;
    FILE *file = fopen(words[2], "rb");
    if (!file) perror(words[2]), exit(1);
    fseek(file, 0, SEEK_END);
    long size = ftell(file), at = 0;
    uint8_t *all = malloc(size);
    rewind(file);
    if (!size || !all || fread(all, 1, size, file) != (size_t)size) perror(words[2]), exit(1);
    double seconds = atof(words[3]), rate = atof(words[4]);
    int wire = sender(words[1], 0);
    unsigned long long sent = 0;
    uint32_t round = 0;
    double began = now(), end = began + seconds;
    while (now() < end) {
        if (rate > 0) {
            double wait = began + sent / rate - now();
            if (wait > 0) {
                struct timespec pause = {(long)wait, (long)((wait - (long)wait) * 1e9)};
                nanosleep(&pause, NULL);
            }
        }
        for (int i = 0; i < BATCH; i++) {
            struct record record;
            memcpy(&record, all + at, sizeof record);
            const uint8_t *places = all + at + sizeof record;
            const uint8_t *bytes = places + record.places * sizeof(struct place);
            memcpy(frames[i], bytes, record.length);
            for (uint32_t n = 0; n < record.places; n++) {
                struct place place;
                memcpy(&place, places + n * sizeof place, sizeof place);
                mark(frames[i], &place, round);
            }
            parts[i].iov_len = record.length;
            at = bytes + record.length - all;
            if (at == size) at = 0, round++;
        }
        send_all(wire);
        sent += BATCH;
    }
    printf("%llu %.6f\n", sent, now() - began);
    return 0;
}
