/* libosip2 on the fields of benches/parsers.rs.
 *
 * cc -O2 osip.c -o osip $(pkg-config --cflags --libs libosip2) */
#include "messages.h"

#include <osip2/osip.h>
#include <osipparser2/osip_parser.h>

static uint64_t tag(osip_from_t *address) {
    osip_generic_param_t *found = NULL;
    osip_from_get_tag(address, &found);
    return found ? octets(found->gvalue) : 0;
}

/* Of `tel:` it keeps the number as a string of its own. */
static uint64_t user(const osip_uri_t *uri) {
    if (!uri)
        return 0;
    return uri->username ? octets(uri->username) : octets(uri->string);
}

static int read_message(const char *text, size_t length, struct fields *sum) {
    static int is_ready;
    if (!is_ready) {
        parser_init();
        is_ready = 1;
    }
    osip_message_t *message;
    if (osip_message_init(&message) != 0)
        return -1;
    int refused = osip_message_parse(message, text, length);
    osip_via_t *via = NULL;
    if (!refused) {
        osip_message_get_via(message, 0, &via);
        refused = !message->call_id || !message->from || !message->to || !message->cseq || !via;
    }
    if (!refused) {
        osip_generic_param_t *branch = NULL;
        osip_via_param_get_byname(via, "branch", &branch);
        /* It splits a Call-ID at the `@`. */
        sum->call_id += octets(message->call_id->number);
        if (message->call_id->host)
            sum->call_id += 1 + octets(message->call_id->host);
        sum->tags += tag(message->from) + tag(message->to);
        sum->cseq += strtoul(message->cseq->number, NULL, 10);
        sum->branch += branch ? octets(branch->gvalue) : 0;
        sum->users += user(message->req_uri) + user(message->from->url) + user(message->to->url);
        osip_header_t *asserted;
        for (int at = 0; (at = osip_message_header_get_byname(message, "p-asserted-identity", at, &asserted)) >= 0; at++) {
            osip_from_t *address;
            if (osip_from_init(&address) != 0)
                break;
            if (asserted->hvalue && osip_from_parse(address, asserted->hvalue) == 0)
                sum->users += user(address->url);
            osip_from_free(address);
        }
    }
    osip_message_free(message);
    return refused ? -1 : 0;
}
