/* RTP from many streams as fast as the kernel takes it, or at a rate.
 *
 *     flood INTERFACE STREAMS SECONDS RATE
 *
 * RATE is packets a second, 0 for as many as go. Frames are Ethernet/IPv4/UDP/RTP of 214 bytes (G.711, 20 ms),
 * all streams taking turns. Prints one line: packets sent, seconds, CPU seconds.
 */
#include "sender.h"
#include <sys/resource.h>

enum { PAYLOAD = 172, PORTS = 20000 };

static void aim(uint8_t *frame, uint32_t stream, uint32_t turn) {
    put32(frame + 26, 0x0A000000 + stream / PORTS);
    put16(frame + 34, 10000 + 2 * (stream % PORTS));
    put16(frame + 44, turn);
    put32(frame + 46, turn * 160);
    put32(frame + 50, 0x10000 + stream);
}

int main(int count, char **words) {
    if (count != 5) return 2;
    uint32_t streams = atoi(words[2]), stream = 0, turn = 1;
    double seconds = atof(words[3]), rate = atof(words[4]);
    int wire = sender(words[1], PAYLOAD);
    for (int i = 0; i < BATCH; i++) {
        head(frames[i], 0, 0, htonl(0xC0A80001), 30000, PAYLOAD);
        frames[i][HEAD] = 0x80;
    }
    uint64_t sent = 0;
    double began = now(), end = began + seconds;
    while (now() < end) {
        if (rate > 0) { /* sleep until the next batch is due: a busy wait would take the capture's CPU */
            double due = began + sent / rate, wait = due - now();
            if (wait > 0) {
                struct timespec pause = {0, (long)(wait * 1e9)};
                nanosleep(&pause, NULL);
            }
        }
        for (int i = 0; i < BATCH; i++) {
            aim(frames[i], stream, turn);
            if (++stream == streams) stream = 0, turn++;
        }
        send_all(wire);
        sent += BATCH;
    }
    double took = now() - began;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
    cpu += (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("%llu %.6f %.6f\n", (unsigned long long)sent, took, cpu);
    return 0;
}
