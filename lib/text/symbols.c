#include "text/symbols.h"
#include "base/error.h"
#include "base/utf8.h"
#include "text/vocabulary_private.h"

#include <stdlib.h>

enum { PAGE = 256, PAGES = 0x110000 / PAGE };

struct character_table {
    uint32_t *pages[PAGES];
};

void character_table_free(struct character_table *table) {
    for (int i = 0; table && i < PAGES; i++)
        free(table->pages[i]);
    free(table);
}

int character_table_new(struct character_table **out, const struct vocabulary *v) {
    struct character_table *table = *out = memory_new(1, sizeof *table);
    if (!table)
        return ERROR_SYSTEM;
    for (uint32_t id = 0; id < v->size; id++) {
        size_t size;
        uint32_t c;
        const uint8_t *piece = vocabulary_piece(v, id, &size);
        if (size == 0 || size > 4 || utf8_character(piece, size, &c) != size ||
            vocabulary_find(v, piece, size) != id)
            continue;
        uint32_t **page = &table->pages[c / PAGE];
        if (!*page) {
            *page = memory_new(PAGE, sizeof **page);
            if (!*page)
                return ERROR_SYSTEM;
            memset(*page, 0xff, PAGE * sizeof **page);
        }
        (*page)[c % PAGE] = id;
    }
    return OK;
}

static size_t byte_symbols(const struct vocabulary *v, const uint8_t *word, size_t size, uint32_t *symbols) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t id = v->byte_id[word[i]];
        symbols[n] = id != no_id ? id : v->scheme.unknown;
        n += symbols[n] != no_id;
    }
    return n;
}

static size_t character_symbols(const struct vocabulary *v, const uint8_t *word, size_t size, uint32_t *symbols) {
    const struct character_table *table = v->characters;
    size_t n = 0, length;
    for (size_t i = 0; i < size; i += length) {
        uint32_t c, id = no_id;
        if (v->user_defined.units && (length = trie_longest(&v->user_defined, word + i, size - i, &id)) > 0) {
            symbols[n++] = id;
            continue;
        }
        length = utf8_character(word + i, size - i, &c);
        if (length > 0 && table->pages[c / PAGE])
            id = table->pages[c / PAGE][c % PAGE];
        length += length == 0;
        if (id != no_id)
            symbols[n++] = id;
        else if (v->scheme.byte_fallback)
            for (size_t k = 0; k < length; k++)
                symbols[n++] = v->byte_id[word[i + k]];
        else if (v->scheme.unknown != no_id &&
                 !(v->scheme.fuse_unknown && n > 0 && symbols[n - 1] == v->scheme.unknown))
            symbols[n++] = v->scheme.unknown;
    }
    return n;
}

size_t word_symbols(const struct vocabulary *v, const uint8_t *word, size_t size, uint32_t *symbols) {
    return v->scheme.symbols == SYMBOLS_BYTES ? byte_symbols(v, word, size, symbols)
                                              : character_symbols(v, word, size, symbols);
}
