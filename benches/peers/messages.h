/* What the C parsers' benchmarks share: the messages (a file of `sip-messages`), the clock, and the result as JSON.
 *
 * A peer says in `read_message` what it reads of one message, and gives the octets that it found, or -1 if it refuses it. The
 * fields are those of benches/parsers.rs. */
#ifndef RINGTAP_BENCH_MESSAGES_H
#define RINGTAP_BENCH_MESSAGES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct fields {
    uint64_t call_id, tags, cseq, branch, users;
};

static uint64_t octets(const char *text) { return text ? strlen(text) : 0; }

static int read_message(const char *message, size_t length, struct fields *sum);

struct message {
    const char *octets;
    size_t length;
};

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Nanoseconds a message: the middle one of `rounds`. */
static double measure(const struct message *messages, size_t count, int rounds, struct fields *sum, size_t *refused) {
    double each[64];
    for (int round = 0; round < rounds && round < 64; round++) {
        memset(sum, 0, sizeof *sum);
        *refused = 0;
        double began = now_ns();
        for (size_t n = 0; n < count; n++)
            if (read_message(messages[n].octets, messages[n].length, sum) != 0)
                (*refused)++;
        each[round] = (now_ns() - began) / (double)count;
    }
    qsort(each, (size_t)rounds, sizeof *each, ascending);
    return each[rounds / 2];
}

/* PROGRAM MESSAGES HOT ROUNDS */
int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s MESSAGES HOT ROUNDS\n", argv[0]);
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(argv[1]);
        return 1;
    }
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *all = malloc(size + 1);
    if (!all || fread(all, 1, size, file) != size) {
        perror(argv[1]);
        return 1;
    }
    fclose(file);
    size_t room = size / 64 + 1, count = 0;
    struct message *messages = malloc(room * sizeof *messages);
    if (!messages)
        return 1;
    for (size_t at = 0; at + 4 <= size && count < room; count++) {
        uint32_t length;
        memcpy(&length, all + at, 4);
        messages[count].octets = all + at + 4;
        messages[count].length = length;
        at += 4 + length;
    }
    size_t hot = (size_t)atol(argv[2]);
    int rounds = atoi(argv[3]);
    if (hot > count)
        hot = count;
    if (count == 0 || hot == 0 || rounds < 1 || rounds > 64) {
        fprintf(stderr, "no messages, or rounds that are not 1 to 64\n");
        return 2;
    }
    struct fields sum;
    size_t refused, ignored;
    double cold_ns = measure(messages, count, rounds, &sum, &refused);
    struct fields hot_sum;
    double hot_ns = measure(messages, hot, rounds, &hot_sum, &ignored);
    printf("{\"messages\":%zu,\"refused\":%zu,\"cold_ns\":%.1f,\"hot_ns\":%.1f,"
           "\"fields\":{\"call_id\":%llu,\"tags\":%llu,\"cseq\":%llu,\"branch\":%llu,\"users\":%llu}}\n",
           count, refused, cold_ns, hot_ns, (unsigned long long)sum.call_id, (unsigned long long)sum.tags,
           (unsigned long long)sum.cseq, (unsigned long long)sum.branch, (unsigned long long)sum.users);
    return 0;
}

#endif
