// Interprets declarative Jenkinsfiles without Jenkins: groovy interpreter.groovy SCENARIO.json [SCENARIO.json ...]
//
// The directives run in the order that Jenkins runs them, `sh` really runs, and a step or directive that is not known
// here is an error, as it is there. Several scenarios share one start of the machine.
//
// A scenario: {"name", "jenkinsfile", "workspace", "env": {..}, "credentials": {id: secret}}. For each, one line
// `RESULT {json}` is printed in the end: {"name", "result", "stages": {name: result}, "log"}; secrets are masked in it.

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import org.codehaus.groovy.control.CompilerConfiguration

/** A build: what a scenario gives, and what became of it. */
class Build {
    static final ORDER = ['SUCCESS', 'UNSTABLE', 'FAILURE', 'ABORTED']

    Map scenario
    Map<String, String> env = [:]
    String result = 'SUCCESS'
    Map<String, String> stages = [:]
    String stage
    StringBuilder log = new StringBuilder()

    /** A result only ever gets worse. */
    void worsen(String to) {
        if (!(to in ORDER)) throw new StepError("there is no result '$to'")
        if (ORDER.indexOf(to) > ORDER.indexOf(result)) result = to
        if (stage && ORDER.indexOf(to) > ORDER.indexOf(stages[stage])) stages[stage] = to
    }

    void say(text) {
        String masked = text.toString()
        scenario.credentials.values().each { masked = masked.replace(it, '****') }
        log << masked << '\n'
    }
}

class StepError extends RuntimeException {
    StepError(message) { super(message.toString()) }
}

/** `env` in a script. */
class Variables {
    Build build
    def propertyMissing(String name) { build.env[name] }
    void propertyMissing(String name, value) { build.env[name] = value?.toString() }
}

/** `environment { NAME = value }`. */
class Assignments {
    Build build
    void setProperty(String name, value) { build.env[name] = value.toString() }
    def getProperty(String name) { name == 'env' ? new Variables(build: build) : build.env[name] }
}

/** `currentBuild`. */
class CurrentBuild {
    Build build
    String getResult() { build.result == 'SUCCESS' ? null : build.result }
    void setResult(String to) { build.worsen(to) }
    String getCurrentResult() { build.result }
}

/** What a Jenkinsfile may say. Its own class is named after its file, so this one must not be. */
abstract class Directives extends Script {
    static final ALLOWED = [
        pipeline: ['agent', 'environment', 'options', 'post', 'stages'],
        stages: ['stage'],
        stage: ['environment', 'post', 'steps'],
        options: ['timeout', 'disableConcurrentBuilds'],
        post: ['always', 'success', 'unstable', 'failure', 'aborted'],
    ]

    private List<String> blocks = []

    protected Build getBuild() { binding.getVariable('build') as Build }

    protected void within(String block, Closure body) {
        def parent = blocks ? blocks[-1] : null
        if (parent in ALLOWED && !(block in ALLOWED[parent])) throw new StepError("'$block' is not allowed in $parent")
        blocks << block
        try {
            body.delegate = this
            body()
        } finally {
            blocks.pop()
        }
    }

    protected void directive(String name) {
        if (!blocks || !(name in (ALLOWED[blocks[-1]] ?: []))) throw new StepError("'$name' is not allowed here")
    }

    protected void step(String name) {
        if (!('steps' in blocks) && !('post' in blocks)) throw new StepError("the step '$name' stands outside of steps")
    }

    // Directives.

    void pipeline(Closure body) { within('pipeline', body) }
    def agent(what) { directive('agent') }
    def getAny() { 'any' }
    void options(Closure body) { within('options', body) }
    void disableConcurrentBuilds(Map terms = [:]) { directive('disableConcurrentBuilds') }

    /** What fails in here does not keep the stage's `post` from being run. */
    void steps(Closure body) { guarded { within('steps', body) } }

    protected void guarded(Closure body) {
        try {
            body()
        } catch (StepError | IOException error) {
            build.say("ERROR: ${error.message}")
            build.worsen('FAILURE')
        }
    }

    void environment(Closure body) {
        directive('environment')
        body.delegate = new Assignments(build: build)
        body.resolveStrategy = Closure.DELEGATE_ONLY
        body()
    }

    void timeout(Map terms) {
        directive('timeout')
        if (!(terms.time instanceof Integer) || !(terms.unit in ['SECONDS', 'MINUTES', 'HOURS'])) {
            throw new StepError("timeout needs time and unit: $terms")
        }
    }

    /** After a stage that did not succeed the others are skipped; one that is unstable does not stop them. */
    void stages(Closure body) { within('stages', body) }

    void stage(String name, Closure body) {
        build.stages[name] = 'SUCCESS'
        if (build.result in ['FAILURE', 'ABORTED']) {
            build.stages[name] = 'NOT_BUILT'
            return
        }
        build.stage = name
        guarded { within('stage', body) }
        build.stage = null
    }

    void post(Closure body) { within('post', body) }
    void always(Closure body) { condition('always', true, body) }
    void success(Closure body) { condition('success', outcome() == 'SUCCESS', body) }
    void failure(Closure body) { condition('failure', outcome() == 'FAILURE', body) }
    void aborted(Closure body) { condition('aborted', outcome() == 'ABORTED', body) }

    /** Of the stage that `post` belongs to, or of the whole build. */
    protected String outcome() { build.stage ? build.stages[build.stage] : build.result }

    protected void condition(String name, boolean holds, Closure body) {
        directive(name)
        if (holds) body()
    }

    // Steps.

    void script(Closure body) {
        step('script')
        body()
    }

    void echo(text) {
        step('echo')
        build.say(text)
    }

    void error(text) {
        step('error')
        throw new StepError(text)
    }

    /** The step; in `post` it is the condition. */
    def unstable(what) {
        if (what instanceof Closure) return condition('unstable', outcome() == 'UNSTABLE', what)
        step('unstable')
        build.say("WARNING: $what")
        build.worsen('UNSTABLE')
        null
    }

    def getEnv() { new Variables(build: build) }
    def getCurrentBuild() { new CurrentBuild(build: build) }
    Map string(Map terms) { terms }

    void withCredentials(List bindings, Closure body) {
        step('withCredentials')
        bindings.each {
            def secret = build.scenario.credentials[it.credentialsId]
            if (secret == null) throw new StepError("there are no credentials '${it.credentialsId}'")
            build.env[it.variable] = secret
        }
        try {
            body()
        } finally {
            bindings.each { build.env.remove(it.variable) }
        }
    }

    def sh(String script) { sh(script: script) }

    def sh(Map terms) {
        step('sh')
        def unknown = terms.keySet() - ['script', 'returnStatus', 'returnStdout', 'label']
        if (unknown) throw new StepError("sh does not take $unknown")
        def process = new ProcessBuilder('sh', '-xe', '-c', terms.script.toString())
        process.directory(new File(build.scenario.workspace))
        process.environment().putAll(build.env.findAll { it.value != null })
        process.redirectErrorStream(!terms.returnStdout)
        def running = process.start()
        running.outputStream.close()
        def output = running.inputStream.text
        def status = running.waitFor()
        if (!terms.returnStdout) build.say(output)
        if (terms.returnStatus) return status
        if (status) throw new StepError("script returned exit code $status")
        terms.returnStdout ? output : null
    }

    void archiveArtifacts(Map terms) { files('archiveArtifacts', terms.artifacts, terms.allowEmptyArchive) }
    void junit(Map terms) { files('junit', terms.testResults, terms.allowEmptyResults) }

    protected void files(String name, String pattern, emptyIsGood) {
        step(name)
        def folder = new File(build.scenario.workspace).toPath()
        def matcher = folder.fileSystem.getPathMatcher("glob:$pattern")
        def found = []
        folder.toFile().eachFileRecurse { if (it.file && matcher.matches(folder.relativize(it.toPath()))) found << it }
        build.say("$name: ${found.size()} files")
        if (!found && !emptyIsGood) throw new StepError("$name: nothing matches $pattern")
    }

    def methodMissing(String name, arguments) { throw new StepError("No such DSL method '$name' found among steps") }
    def propertyMissing(String name) { throw new StepError("No such property: $name") }
}

def compiler = new CompilerConfiguration(scriptBaseClass: Directives.name)
args.each { path ->
    def scenario = new JsonSlurper().parse(new File(path))
    def build = new Build(scenario: scenario)
    build.env.putAll(scenario.env)
    try {
        def binding = new Binding(build: build)
        new GroovyShell(this.class.classLoader, binding, compiler).evaluate(new File(scenario.jenkinsfile))
    } catch (Exception error) {
        build.say("ERROR: ${error.message}")
        build.worsen('FAILURE')
    }
    build.say("Finished: ${build.result}")
    def told = [name: scenario.name, result: build.result, stages: build.stages, log: build.log.toString()]
    println "RESULT ${JsonOutput.toJson(told)}"
}
