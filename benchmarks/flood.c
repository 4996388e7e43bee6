/* RTP from many streams as fast as the kernel takes it, or at a rate: sendmmsg on a packet socket.
 *
 *     flood INTERFACE STREAMS SECONDS RATE
 *
 * RATE is packets a second, 0 for as many as go. Frames are Ethernet/IPv4/UDP/RTP of 214 bytes (G.711, 20 ms),
 * all streams taking turns. Prints one line: packets sent, seconds, CPU seconds. PACKET_QDISC_BYPASS hands
 * frames straight to the device: what the machine has left is for the capture.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { HEAD = 54, FRAME = 214, BATCH = 64, PORTS = 20000 };

static uint8_t frames[BATCH][FRAME];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void put16(uint8_t *at, uint16_t value) { value = htons(value); memcpy(at, &value, 2); }
static void put32(uint8_t *at, uint32_t value) { value = htonl(value); memcpy(at, &value, 4); }

static void prepare(uint8_t *frame) {
    memset(frame, 0, FRAME);
    memset(frame, 2, 12); /* locally administered addresses; the receiver does not forward */
    put16(frame + 12, ETHERTYPE_IP);
    frame[14] = 0x45;
    put16(frame + 16, FRAME - 14);
    frame[22] = 64;
    frame[23] = 17;
    put32(frame + 30, 0xC0A80001);
    put16(frame + 36, 30000);
    put16(frame + 38, FRAME - 34);
    frame[42] = 0x80;
}

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
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(words[1])};
    int wire = socket(AF_PACKET, SOCK_RAW, 0), yes = 1;
    if (wire < 0 || bind(wire, (struct sockaddr *)&link, sizeof link)) return perror(words[1]), 1;
    setsockopt(wire, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
    for (int i = 0; i < BATCH; i++) {
        prepare(frames[i]);
        parts[i] = (struct iovec){frames[i], FRAME};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
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
        int first = 0;
        while (first < BATCH) {
            int done = sendmmsg(wire, messages + first, BATCH - first, 0);
            if (done < 0 && errno != ENOBUFS && errno != EAGAIN) return perror("sendmmsg"), 1;
            if (done > 0) first += done;
        }
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
