/* sofia-sip on the fields of benches/parsers.rs.
 *
 * cc -O2 sofia.c -o sofia $(pkg-config --cflags --libs sofia-sip-ua) */
#include "messages.h"

#include <sofia-sip/msg.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_extra.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_util.h>

/* The number of `tel:` is a host to it. */
static uint64_t user(const url_t *url) { return url->url_user ? octets(url->url_user) : octets(url->url_host); }

static int read_message(const char *text, size_t length, struct fields *sum) {
    static const msg_mclass_t *class;
    if (!class) {
        /* With the extensions, among them P-Asserted-Identity. */
        class = sip_extend_mclass(NULL);
        if (!class)
            return -1;
    }
    msg_t *message = msg_make(class, 0, text, (isize_t)length);
    if (!message)
        return -1;
    const sip_t *sip = sip_object(message);
    int refused = !sip || !sip->sip_call_id || !sip->sip_from || !sip->sip_to || !sip->sip_cseq || !sip->sip_via;
    if (!refused) {
        sum->call_id += octets(sip->sip_call_id->i_id);
        sum->tags += octets(sip->sip_from->a_tag) + octets(sip->sip_to->a_tag);
        sum->cseq += sip->sip_cseq->cs_seq;
        sum->branch += octets(sip->sip_via->v_branch);
        if (sip->sip_request)
            sum->users += user(sip->sip_request->rq_url);
        sum->users += user(sip->sip_from->a_url) + user(sip->sip_to->a_url);
        for (const sip_p_asserted_identity_t *asserted = sip_p_asserted_identity(sip); asserted; asserted = asserted->paid_next)
            sum->users += user(asserted->paid_url);
    }
    msg_destroy(message);
    return refused ? -1 : 0;
}
