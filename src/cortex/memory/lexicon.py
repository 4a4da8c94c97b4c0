"""The words that finding entities in a text goes by: what is no name although capitalised, what ends a file's name."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never part of a name, wherever they stand: function words, calendar words, interjections, emphasis, units.
PLAIN_WORDS = _words(
    """
    a about above across after afterwards again against all almost along already also although always am among an and
    another any anybody anyone anything anyway are aren't around as at away b.c back bc be because been before behind
    being below beside between beyond both but by can can't cannot could couldn't despite did didn't do does doesn't
    doing don't done down during each either else even ever every everybody everyone everything except few fewer
    finally first firstly for former from further had hadn't has hasn't have haven't having he he's hence her here
    here's hers herself him himself his hopefully how how's however i i'd i'll i'm i've if in indeed inside instead
    into is isn't it it's its itself just last lastly least less let let's like many may maybe me meanwhile might mine
    more moreover most much must my myself near nearly neither never nevertheless next no nobody none nonetheless nor
    not nothing now of off often oh ok okay on once one only onto or other others otherwise our ours ourselves out
    outside over own per perhaps please rather really recently same second secondly several shall she she's should
    shouldn't since so some somebody someone something sometimes soon still such than thanks that that's the their
    theirs them themselves then there there's therefore these they they'll they're they've third this those though
    three through throughout thus till to today together tomorrow tonight too toward towards two under unless unlike
    until up upon us usually very via was wasn't we we'd we'll we're we've well were weren't what what's whatever when
    whenever where whereas wherever whether which while who who's whoever whole whom whose why will with within
    without won't would wouldn't yes yesterday yet you you'd you'll you're you've your yours yourself monday tuesday
    wednesday thursday friday saturday sunday mon tue tues wed thu thurs fri sat sun mondays tuesdays wednesdays
    thursdays fridays saturdays sundays january february march april june july august september october november
    december jan feb mar apr jun jul aug sep sept oct nov dec spring summer autumn winter christmas easter pm utc gmt
    cet cest est edt pst pdt bst ad ce bce eod eow eta q1 q2 q3 q4 h1 h2 hi hello hey hooray wow yay yeah yep nope
    haha lol omg congrats congratulations welcome sorry thx bye cheers todo fixme note notes nb n.b ps p.s warning
    important caution attention tip hint fyi asap tbd tba wip n/a na btw imo imho eg e.g ie i.e etc vs aka cf mr mrs
    ms mx dr prof sir madam das dem den der die ein eine einen einem einer es er ich wir ihr mein für im
    beim vom zum zur und aber wenn weil dass nach mit von bei auf aus wie wer wo kein keine nicht true false
    null nil nan undefined kb mb gb tb kib mib gib khz mhz ghz min avg id ids pr prs english french german spanish
    italian chinese japanese korean russian portuguese dutch polish turkish arabic hindi american british european
    african asian
    """
)

# Capitalised at the start of a sentence these are more likely what they say than a name: verbs, adverbs, and nouns that
# notes use without an article.
OPENING_WORDS = _words(
    """
    accept according actually add added additionally adjust agree agreed aim allow allows alternatively although
    analyze announce answer answers apart apparently apply approve ask asked assign assume attach avoid bad basically
    be become begin being best better book both bought break bring browse build building built bump buy call called
    came cancel care careful catch certainly change changed changes chat check checked checks choose clean clear
    clearly click clone close closed collect combine come comes commit committed compare compile complete completed
    configure confirm confirmed connect consider considering contact continue convert copy correct could create
    created critical current currently customer customers cut data deadline debug decide decided decision default
    defaults define delete deleted depending deploy deployed deployment describe design details develop developers
    disable discuss discussed display document documentation download drop dropped due duplicate edit email emails
    enable encountered encrypt end ended engineers ensure enter error errors especially establish eventually exactly
    examine example examples execute existing expect explain export extend extra fact facts failed fails failure
    feature features feel fetch file files fill filter find finish finished fix fixed fixes focus follow following
    force format found free fresh full general generally generate get gets getting give given gives go goal goals goes
    going good got great group grow guess handle hang happened happy hard help hide high hit hold hope host hot ignore
    implement implemented import imported improve include included including increase initially insert inspect install
    installed interesting internally introduce invoice invoices invite issue issues join joined keep keeps kept key
    keys know large later launch lead leads learn leave left legacy list little load local log logs long look looked
    looking looks looping lost lots love low made main mainly maintain make makes making manage manager managers meet
    meeting meetings members mention merge merged message messages migrate migrated migration minor missing mistake
    mock model models monitor monthly mostly mount move moved moving multiple name names need needed needs new nice
    nightly normally notice notify observed obviously offer old open opened optimize order orders originally overall
    override page pages paid parse part pass passed past patch pay payment payments pending people pick place plan
    planned plans plus point policy possible possibly post prefer preference preferred preferably prepare press
    prevent previous previously price prices print probably problem problems process processes produce production
    profile project projects prompt propose proposed provide publish pull purchase push put query question questions
    queue quick quickly quite quote raise ran rate re-run read reading ready reason rebuild receive received recommend
    record records reduce refactor refactored reference refers refer regarding register regularly reject release
    released releases reload remember reminder remote remove removed rename renamed render replace replaced reply
    report reported reports reproduce request requests require required requires reset resolve resolved response
    responses restart restore result results retry return returned returns reuse revert review reviewed reviews right
    rollback root rotate rule rules run running runs said sales save saved saw say says schedule scheduled search see
    seems seen select self-hosted send sends sent serve server servers service services session sessions set sets
    setting settings setup share ship shipped short show shows sign similarly simple simply single skip slow small
    solution solve solved somehow sometime sort source specifically specify spent staff staging start started starting
    starts state status stay step steps stick stop stopped store stored stores stories strange strict strong student
    students subscribe suggested summary support supports sure switch switched sync system systems table tables tag
    tags take takes talk talked target task tasks teach team teams tell tells test tested testing tests text thank
    there think thought throw ticket tickets time times tip token tokens told took tool tools total track traffic
    train transfer translate treat trigger tried true truly try trying turn turned turns two type types typically
    understand unfortunately unit unlock up update updated updates upgrade upgraded upload use used useful user users
    uses using validate value values verify version versions view visit wait waiting want wanted wants warn warnings
    was watch weekly went wish word words work worked worker workers working works worth write writes writing wrong
    wrote yearly access account accounts agent agents api app application applications apps area articles assistant
    assistants authentication author authors authorization background backup backups batch billing board body branch
    branches bug bugs business cache caching calendar category cause child children city class classes client clients
    cluster code column columns command commands comment comments community companies company component components
    config configuration connection container containers content context contract control cost costs country coverage
    credentials cron daily dashboard database databases date dates day days department dependencies dependency
    developer device devices director directory discount doctor domain driver employee employees endpoint endpoints
    environment event events everyone expenses experiment family father feedback field fields finance flag folder food
    form framework friend friends frontend backend function functions game guest guests health history home hour hours
    house html idea image images index indexes information infrastructure input interface internet interview inventory
    item items job jobs kids kitchen knowledge language latency laptop layout leader legal level library license life
    limit limits line link links loading location login logging lunch machine mail management map market marketing
    media member memory method metrics minute minutes mobile mode module modules money month months mother movie music
    network news night number numbers objects office online operation operations option options output owner owners
    package packages parent parents partner partners party password passwords path performance permission permissions
    person phone photo photos pipeline plugin port position power president privacy procedure product products profit
    progress property proxy purpose quality rates region remaining research resource resources retention risk role
    roles room rows salary sample schema school schemas script scripts secret secrets section security sender sensor
    shipping shop sister site size software son space speed sprint stack standup statement storage story string
    structure style subject success supplier suppliers survey symptom teacher technical template templates theme
    thread threads throughput timeout timeouts timestamps title topic topics training transaction transactions trip
    trips ui upstream url urls vacation vendor vendors video volume warehouse weather web website week weeks weekend
    wife woman women workaround workflow workspace world year years
    """
)

# Verbs before which a capitalised word at the start of a sentence is taken for a name, and for a person's.
PERSON_VERBS = _words(
    "prefers likes loves hates dislikes enjoys says said thinks thought asked told joined wrote lives believes hopes"
    " studied married drinks eats speaks"
)
NAME_VERBS = PERSON_VERBS | {"owns"}

# Words that German texts have and English ones do not: where several of them stand, every noun is capitalised.
NOUN_CAPITAL_WORDS = _words(
    "der das und nicht ein eine einen einem wir für mit von auf werden wird sind auch sich dem zum zur bei"
)

NAME_LINKS = _words("de del della der den di da dos du la le van von zu al bin ibn &")
# Capitalised within a sentence, these tell a title, in which every word is.
TITLE_WORDS = _words("the and for with of in to on a an our your how what why from by at or not is are this that my we")
TITLES = _words("mr mrs ms mx dr prof professor sir madam lady lord")
PROJECT_WORDS = _words("project projects repo repository codebase")

# Known names that are written as symbols of code are.
BRANDS = _words(
    """
    github gitlab gitea youtube linkedin facebook whatsapp tiktok javascript typescript coffeescript postgresql mysql
    mariadb mongodb couchdb influxdb dynamodb chromadb lancedb duckdb cockroachdb clickhouse rabbitmq graphql openai
    deepmind deepseek langchain llamaindex huggingface pytorch tensorflow numpy scipy pandas jupyter pycharm vscode
    webstorm intellij macos ios ipados iphone ipad ipod imac macbook itunes ebay paypal airbnb wordpress jquery
    fastapi devops mlops gitops chatgpt powershell powerpoint sharepoint onedrive outlook openssl openssh libreoffice
    openoffice openstack opentelemetry circleci teamcity newrelic pagerduty datadog bigquery docusign hubspot
    mailchimp quickbooks youtrack digitalocean cloudflare cloudfront elasticsearch opensearch webassembly websocket
    websockets oauth vmware virtualbox sqlite sqlalchemy webgl opengl directx playstation xbox nvidia amd latex bibtex
    eslint
    """
)
# What is written with a dot and is no file.
DOTTED_NAMES = _words(
    "node.js vue.js next.js nuxt.js react.js express.js d3.js three.js ember.js backbone.js angular.js chart.js asp.net"
    " socket.io draw.io"
)

ABBREVIATIONS = _words(
    "mr mrs ms mx dr prof st jr sr vs e.g i.e eg ie cf approx no nr inc ltd co corp dept fig vol al ca"
)

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april", "apr"), ("may",), ("june", "jun"),
            ("july", "jul"), ("august", "aug"), ("september", "sep", "sept"), ("october", "oct"), ("november", "nov"),
            ("december", "dec"),
        ),
        1,
    )
    for name in names
}  # fmt: skip

EXTENSIONS = _words(
    """
    py pyi ipynb js mjs cjs ts tsx jsx vue svelte md mdx rst txt tex json jsonl json5 yaml yml toml ini cfg conf env
    properties sql sh bash zsh fish ps1 bat cmd c h cc cpp cxx hpp hh rs go java kt kts swift m mm rb php cs fs vb
    html htm css scss sass less xml xsd svg csv tsv pdf doc docx xls xlsx ppt pptx odt ods png jpg jpeg gif webp ico
    bmp tiff mp3 mp4 wav flac ogg mov avi mkv webm zip tar gz tgz bz2 xz zst rar 7z whl jar war deb rpm dmg iso exe
    dll so dylib lock log db sqlite sqlite3 parquet arrow onnx safetensors gguf pt proto graphql tf tfvars lua pl pm
    ex exs erl hs scala clj dart zig nim jl gradle cmake mk ninja patch diff pem crt cer csr bak tmp plist service
    desktop j2 jinja tmpl map wasm po mo ttf woff woff2 eml ics vcf
    """
)
FILE_NAMES = _words(
    "makefile dockerfile containerfile vagrantfile gemfile procfile rakefile jenkinsfile brewfile justfile .env"
    " .gitignore .gitattributes .dockerignore .editorconfig .bashrc .zshrc .profile .bash_profile .npmrc .netrc .vimrc"
    " .prettierrc .eslintrc .babelrc authorized_keys known_hosts"
)
ROOTS = _words(
    "etc usr var home opt tmp dev proc srv mnt root bin lib sys run media users library applications volumes"
)
FOLDERS = _words(
    "src tests test docs lib app apps bin scripts config configs packages pkg cmd internal include assets public static"
    " migrations templates examples tools build dist vendor node_modules .github .vscode .git components"
)
DOMAIN_ENDS = _words("com org net io dev ai app edu gov de uk fr eu ch at nl")

# What follows `install` in prose and is no package.
NOT_PACKAGES = _words(
    "fails failed failing works worked breaks broke takes hangs hung times errors command commands step steps again it"
    " them everything dependencies packages latest globally locally scripts script"
    " restart run start build rebuild deploy"
)
INSTALLERS = {
    installer: verbs.split()
    for installers, verbs in (
        ("pip pip3 pipx conda mamba gem brew apt apt-get dnf yum apk choco winget", "install"),
        ("npm pnpm bun", "install i add"),
        ("uv poetry pdm yarn cargo apk", "add install"),
        ("go", "get install"),
        ("composer", "require"),
    )
    for installer in installers.split()
}
LITERALS = _words("true false null none nil nan undefined yes no on off ok and or not the")
DECORATORS = _words(
    "property dataclass staticmethod classmethod override abstractmethod cached_property media import test param return"
    " returns throws todo deprecated see since everyone here channel all"
)
