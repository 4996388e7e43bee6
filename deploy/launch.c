/* The image's entry point: `launch COMMAND ...` is `sbcwatch COMMAND ...`, which may open packet sockets.
 *
 * The file itself holds CAP_NET_RAW (file_capability.py), for no container runtime gives an ambient capability to a
 * user other than root. Where the command captures, it is made ambient, so that the interpreter has it after exec,
 * which then gives it up (agent/daemon/confine). Without it, where a runtime refuses (no-new-privileges, or NET_RAW
 * is not in the bounding set), the command says what is missing.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PROGRAM
#define PROGRAM "/opt/sbcwatch/bin/sbcwatch"
#endif
static const char *CAPTURES[] = {"run", "selftest", "init"};
enum { NET_RAW = 1 << CAP_NET_RAW };

static int captures(const char *command) {
    for (unsigned n = 0; n < sizeof CAPTURES / sizeof *CAPTURES; n++)
        if (!strcmp(command, CAPTURES[n])) return 1;
    return 0;
}

/* All capabilities go but NET_RAW, or NET_RAW too. */
static void keep(unsigned bits) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets)) return;
    bits &= sets[0].permitted;
    memset(sets, 0, sizeof sets);
    sets[0].effective = sets[0].permitted = sets[0].inheritable = bits;
    if (syscall(SYS_capset, &header, sets)) return;
    if (bits) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0);
}

int main(int count, char **words) {
    if (geteuid()) /* root has its capabilities by being root */
        keep(count > 1 && captures(words[1]) ? NET_RAW : 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    words[0] = PROGRAM;
    execv(PROGRAM, words);
    fprintf(stderr, "%s: %s\n", PROGRAM, strerror(errno));
    return 127;
}
