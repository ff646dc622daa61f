# The page, from report.json, the style sheet and the plots.
include "numbers";

def row($tag; $cells): "<tr>" + ($cells | map("<\($tag)>\(.)</\($tag)>") | join("")) + "</tr>";
def table($head; rows): "<table>" + row("th"; $head) + ([rows] | join("")) + "</table>";
def flops: "\(mantissa)&times;10<sup>\(exponent)</sup>";
def with_interval($n; $ci): fixed($n) + (if $ci then " <span class=interval>(\($ci | interval($n)))</span>" else "" end);
def section($title; body): "<h2>\($title)</h2>", body;
def soft: "<p class=soft>\(.)</p>";
def percent: . * 100 | round;

def lead:
  "<h1>A mixture of \(.regime.experts) small language models: \({ better: "better than dense", worse: "it does not beat dense", "no difference": "no different from dense" }[.verdict])</h1>",
  "<p class=lead>At equal training FLOPs the mixture\u2019s held-out perplexity is <b>\(.mixture as $m | $m.perplexity | within($m.perplexity_ci95))</b> against <b>\(.dense as $d | $d.perplexity | within($d.perplexity_ci95))</b> for the better dense model: \(.difference | gain). Each sequence is answered by one expert, chosen from its first \(.regime.prefix) tokens.</p>";

def held_out:
  [.dense_runs[], .mixture, .oracle, .bayes] as $all
  | column($all[].perplexity_ci95) as $n | column($all[].bits_per_byte_ci95) as $b
  | def line($name): [$name, (.perplexity_ci95 as $ci | .perplexity | with_interval($n; $ci)), (.bits_per_byte | fixed($b))];
  section("Held-out text";
    table(["model", "perplexity <span class=interval>(95% interval)</span>", "bits per byte"];
      (.dense_runs | to_entries[] | .key as $k | row("td"; .value | line("dense, \($k)"))),
      row("td"; .mixture | line("mixture")), row("td"; .oracle | line("best expert for each sequence (a bound)")),
      row("td"; .bayes | line("all experts, by posterior"))),
    (.without_prefix | "Behind the routed prefix, from token \(.from): \(.perplexity_ci95 as $ci | .perplexity | within($ci)) against \(.dense_perplexity_ci95 as $ci | .dense_perplexity | within($ci)), \(.difference | gain). Differences are paired by sequence, so that they are surer than the two perplexities." | soft));

def curves:
  section("Loss against training FLOPs"; $curves,
    ("The mixture\u2019s curve starts where the routers, their scoring and the trunk are paid for; each point sums over the experts, every held-out sequence answered by its own." | soft));

def segments:
  section("Each expert on its own segment"; $segments,
    ("Beside each expert the share of the held-out sequences that the routers send to it, without any capacity." | soft));

def domains:
  column(.domains[] | .perplexity_ci95, .dense_perplexity_ci95) as $n
  | column(.domains[].difference.improvement_percent_ci95) as $p
  | section("By domain";
    table(["domain", "dense", "mixture", "% lower <span class=interval>(95% interval)</span>", "share"];
      .domains[] | .difference.improvement_percent_ci95 as $ci
        | row("td"; [(.domain | @html), (.dense_perplexity | fixed($n)), (.perplexity | fixed($n)),
            (.difference.improvement_percent | with_interval($p; $ci)), "\(.share | percent)%"])),
    ("Perplexity per token; share of the held-out sequences." | soft));

def heat:
  . as $t | "<table class=heat><caption>\(.name): NMI \(.nmi | fixed(2))</caption>"
    + row("th"; ["expert", (range(.counts[0] | length) | "\(.)")])
    + ([range(.domains | length) as $i | ($t.counts[$i] | add) as $n
        | "<tr><td>\($t.domains[$i] | @html)</td>" + ($t.counts[$i] | map(. / $n | "<td style=\"--share: \(fixed(2))\">\(percent)</td>") | join("")) + "</tr>"] | join(""))
    + "</table>";
def experts:
  section("Which expert gets which domain";
    ("Per cent of each domain\u2019s sequences. NMI is the normalised mutual information of domain and expert: 0 where they have nothing to do with each other. The routers never see a domain." | soft),
    (.tables[-1] | heat), $rounds,
    (.starts | select(. != null) | "The first \(.rounds) rounds began \(.log_likelihoods | length) times, from different weights and assignments. Start \(.chosen) went on: its assignment of chunk \(.rounds), which no router had seen, had the greatest log-likelihood, \(.log_likelihoods[.chosen] | fixed(3)) nats a token; the others had \(.chosen as $c | .log_likelihoods | del(.[$c]) | map(fixed(3)) | join(", "))." | soft),
    "<details><summary>\(if (.tables | length) > 2 then "Every round, and the experts\u2019 part" else "The experts\u2019 part" end)</summary><div class=rounds>",
    (.tables[:-1][] | heat), "</div></details>");

def cost:
  def line($name): [$name, (.train_flops | flops), (.inference_flops | flops), (if .steps then "\(.steps) &times; \(.batch)" else "" end), (.seconds | duration)];
  section("Cost";
    table(["model", "training FLOPs", "inference FLOPs<br>a sequence", "steps &times; batch", "training time"];
      (.dense_runs | to_entries[] | .key as $k | row("td"; .value | line("dense, \($k)"))), row("td"; .mixture | line("mixture"))),
    ("Routers and scoring take \(.router_share * 100 | fixed(1))% of the mixture\u2019s training FLOPs and are charged to it. All routers together exchange \(.communication_bytes / 1e6 | rough) MB of scores; data-parallel training of the wide dense run on as many nodes would move \(.dense_communication_bytes / 1e9 | rough) GB." | soft));

# stages of one kind side by side; the other variants' stages are not this report's
def kind:
  if test("^(vocabulary|tokenize|shuffle)") then "vocabulary, tokens, shuffle"
  elif test("^router [0-9]+ round") then "routers" elif test("^(score|assign|choose)") then "scoring and assignment"
  elif test(": expert [0-9]+$") then "experts" elif test("evaluate|on all$|: mix") then "evaluation"
  elif test(": report$") then "report" else sub("-"; ", ") end;
def time:
  .variant as $variant
  | [.stages[] | select(.name | (test("^(router|random|label):") | not) or startswith($variant + ":"))
      | .kind = (.name | sub("^[a-z]*: (?<n>expert [0-9]+)$"; ": \(.n)") | kind)] as $stages
  | section("Time";
      table(["stages", "how many", "time, all together"];
        $stages | group_by(.kind) | map({ kind: .[0].kind, count: length, seconds: (map(.seconds) | add) }) | sort_by(-.seconds)[]
          | row("td"; [.kind, "\(.count)", (.seconds | duration)])),
      ("Stages run side by side, so that their times add up to more than the whole run took." | soft));

def corpus:
  if .corpus then section("Corpus";
    "<table><tr><th>domain</th><th>documents</th><th>MB</th><th class=words>Debian packages</th></tr>",
    (.corpus.domains[] | "<tr><td>\(.name)</td><td>\(.text.documents)</td><td>\(.text.bytes / 1e6 | fixed(1))</td><td class=words>\([.packages[] | "\(.name) \(.version)"] | join(", "))</td></tr>"),
    "</table>") else empty end;

def run:
  section("The run"; "<p>\(.regime.parameters.expert) parameters per model, \(.regime.tokens_per_parameter | round) training tokens per parameter along each expert\u2019s path (\(.regime.tokens_per_parameter_own | round) with the common trunk counted once), \(.regime.trunk_share | percent)% of the tokens on the trunk, sequences of \(.regime.length) tokens. Variant \(.variant), preset \(.preset), seed \(.seed), device \(.device), \(.version).</p>");

"<!doctype html>",
"<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, initial-scale=1\">",
"<title>SmallTalk mixture: \(.variant)</title>", "<style>", $css, "</style></head><body>",
lead, held_out, curves, segments, domains, experts, cost, time, corpus, run, "</body></html>"
