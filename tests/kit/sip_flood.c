/* INVITEs with invented Call-IDs from one address as fast as the kernel takes them.
 *
 *     sip_flood INTERFACE SOURCE TARGET SECONDS
 *
 * Prints one line: messages sent, seconds.
 */
#include "../../benchmarks/sender.h"

enum { DIGITS = 12 };

/* The twelve digits are overwritten with each message's number. */
static const char *TEXT =
    "INVITE sip:100@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%012d\r\n"
    "From: <sip:flood@example.net>;tag=%012d\r\nTo: <sip:100@example.net>\r\nCall-ID: %012d@flood\r\n"
    "CSeq: 1 INVITE\r\nContact: <sip:flood@%s>\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n";

int main(int count, char **words) {
    if (count != 5) return 2;
    char text[MOST - HEAD];
    int size = snprintf(text, sizeof text, TEXT, words[3], words[2], 0, 0, 0, words[2]);
    int places[3], found = 0;
    for (char *at = text; found < 3 && (at = strstr(at, "000000000000")); at += DIGITS) places[found++] = at - text;
    int wire = sender(words[1], size);
    for (int i = 0; i < BATCH; i++) {
        head(frames[i], inet_addr(words[2]), 5060, inet_addr(words[3]), 5060, size);
        memcpy(frames[i] + HEAD, text, size);
    }
    unsigned long long sent = 0;
    double began = now(), end = began + atof(words[4]);
    while (now() < end) {
        for (int i = 0; i < BATCH; i++) {
            char digits[DIGITS + 1];
            snprintf(digits, sizeof digits, "%012llu", sent + i);
            for (int place = 0; place < found; place++) memcpy(frames[i] + HEAD + places[place], digits, DIGITS);
        }
        send_all(wire);
        sent += BATCH;
    }
    printf("%llu %.6f\n", sent, now() - began);
    return 0;
}
