/* The floor of all that reads captures: libpcap's own loop, which counts packets and looks into none.
 *
 * cc -O2 pcap_count.c -o pcap-count -lpcap */
#include <pcap/pcap.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s CAPTURE\n", argv[0]);
        return 2;
    }
    char said[PCAP_ERRBUF_SIZE];
    pcap_t *capture = pcap_open_offline(argv[1], said);
    if (!capture) {
        fprintf(stderr, "%s\n", said);
        return 1;
    }
    struct pcap_pkthdr *header;
    const u_char *octets;
    unsigned long long packets = 0;
    while (pcap_next_ex(capture, &header, &octets) == 1)
        packets++;
    printf("%llu\n", packets);
    pcap_close(capture);
    return 0;
}
