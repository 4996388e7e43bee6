/* Frames as fast as the kernel takes them: sendmmsg on a packet socket, in batches made beforehand.
 *
 * PACKET_QDISC_BYPASS hands frames straight to the device: what the machine has left is for the capture.
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
#include <sys/socket.h>
#include <time.h>

#ifndef FRAME_MOST
#define FRAME_MOST 1024
#endif
enum { BATCH = 64, MOST = FRAME_MOST, HEAD = 42 }; /* frames a turn, bytes of one; Ethernet, IPv4, UDP headers */

static uint8_t frames[BATCH][MOST];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void put16(uint8_t *at, uint16_t value) { value = htons(value); memcpy(at, &value, 2); }
static void put32(uint8_t *at, uint32_t value) { value = htonl(value); memcpy(at, &value, 4); }

/* Headers for `payload` bytes between two IPv4 addresses in network order. */
static void head(uint8_t *frame, uint32_t src, uint16_t src_port, uint32_t dst, uint16_t dst_port, int payload) {
    memset(frame, 0, HEAD);
    memset(frame, 2, 12); /* locally administered addresses; the receiver does not forward */
    put16(frame + 12, ETHERTYPE_IP);
    frame[14] = 0x45;
    put16(frame + 16, 28 + payload);
    frame[22] = 64;
    frame[23] = 17;
    memcpy(frame + 26, &src, 4);
    memcpy(frame + 30, &dst, 4);
    put16(frame + 34, src_port);
    put16(frame + 36, dst_port);
    put16(frame + 38, 8 + payload);
}

/* A socket that sends on `interface`, with all frames of `payload` bytes. Ends the program where it cannot. */
static int sender(const char *interface, int payload) {
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(interface)};
    int wire = socket(AF_PACKET, SOCK_RAW, 0), yes = 1;
    if (wire < 0 || bind(wire, (struct sockaddr *)&link, sizeof link)) perror(interface), exit(1);
    setsockopt(wire, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){frames[i], HEAD + payload};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    return wire;
}

static void send_all(int wire) {
    int first = 0;
    while (first < BATCH) {
        int done = sendmmsg(wire, messages + first, BATCH - first, 0);
        if (done < 0 && errno != ENOBUFS && errno != EAGAIN) perror("sendmmsg"), exit(1);
        if (done > 0) first += done;
    }
}
