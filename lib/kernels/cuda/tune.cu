// (stub for the moment)
#include "matmul.cuh"
int matmul_table_open(struct cuda *s) {
    (void)s;
    return OK;
}
void matmul_table_close(struct matmul_table *t) {
    (void)t;
}
bool matmul_table_find(struct cuda *s, struct matmul_plan *p) {
    (void)s;
    (void)p;
    return false;
}
void matmul_tune(struct cuda *s, struct matmul_plan *p, const struct matmul_call *call) {
    (void)s;
    (void)p;
    (void)call;
}
