// The folder of a run: CKPT.part/ while it trains, CKPT/ once it is done.
//
//   CKPT.part/lock        held (flock) by the one process that trains here: its number, host, start
//   CKPT.part/current     the name of the newest complete generation: "step-1200"
//   CKPT.part/step-1200/  a generation: a whole checkpoint with optimizer.safetensors and state.json
//
// A generation is written under its own name, synced, and only then named in `current`, so that at any moment the
// newest complete one can be found. Older generations are removed, but for the last K that --keep asks for; they
// end in CKPT/snapshots/step-N. At the end the last generation is renamed to CKPT.part.done/, CKPT.part/ removed,
// and only then CKPT.part.done/ renamed to CKPT/: a killed run leaves nothing beside a finished CKPT/. An older
// CKPT/ is exchanged for the generation in CKPT.part/, and removed there; until then CKPT/model.safetensors seems
// old (path_make_old()), so that make comes again after a kill, and CKPT.part/ is known to hold no run.
#ifndef TACIT_TRAIN_FOLDER_H
#define TACIT_TRAIN_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

struct folder {
    char *final, *part, *done; // CKPT, CKPT.part, CKPT.part.done
    char *current;             // the newest complete generation's folder; NULL: none
    int lock;                  // descriptor
};

// Make and lock CKPT.part; ERROR_SYSTEM names the process that holds it, and where. Removes what a killed run left
// unfinished.
int folder_open(struct folder *f, const char *checkpoint);
// Unlock; an empty CKPT.part disappears.
void folder_close(struct folder *f);

int folder_clear(struct folder *f); // forget all generations

int64_t folder_step(const struct folder *f); // of the current generation; -1: none

// A fresh, empty folder for generation `step`, which is not the current one; free() the name.
int folder_begin(struct folder *f, int64_t step, char **directory);
// The generation is complete: make it the current one, keep `keep` older ones.
int folder_advance(struct folder *f, int64_t step, int64_t keep);
int folder_prune(const struct folder *f, int64_t keep); // keep fewer older ones
// Make an older generation the current one again; ERROR_INPUT where it is not there.
int folder_return(struct folder *f, int64_t step);
// CKPT becomes the current generation with `keep` older ones below it, CKPT.part disappears; folder_close()
// follows.
int folder_finish(struct folder *f, int64_t keep);

// CKPT is complete already: clear what a run left that was killed when it had replaced an older one, and make CKPT
// as new as its inputs, so that make need not ask again.
int folder_confirm(const char *checkpoint);

#endif
